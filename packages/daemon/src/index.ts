export { startAwakeTimer } from './awake-timer.ts';
export { type BackgroundOptions, goToBackground, tellReady } from './background.ts';
export { LogOutput } from './log-output.ts';
export { Pidfile } from './pidfile.ts';
