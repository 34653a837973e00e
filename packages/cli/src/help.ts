/** What `--help` says below the options: how a command is meant, by examples. */

export const examples = `
Examples:
  omgfs up                                   a cluster to play with, state in ./.omgfs
  omgfs put photo.jpg --key album/1.jpg      store a file
  omgfs put -r ./pictures --prefix album/    store a tree
  tar c . | omgfs put - backup.tar           store standard input
  omgfs get album/1.jpg - | sha1sum          read it back
  omgfs get -r album/ ./back                 all below a prefix
  omgfs sync ./pictures album/               store what changed
  omgfs du album/                            what it takes
  omgfs ls -l album/                         keys, lengths, copies
  omgfs --json info album/1.jpg              for scripts
  omgfs admin check                          is everything well? (see omgfs admin --help)

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
`;

export const getExamples = `
A file appears whole or not at all. With -r, a key that is no path (a//b, ..) is a failure.

Examples:
  omgfs get album/1.jpg                      as ./1.jpg
  omgfs get album/1.jpg - | sha1sum          to standard output
  omgfs get -r album/ ./back                 all keys below album/, as a tree
`;

export const syncHelp = `
Changed is what is missing or has another length; with --checksum also what has other bytes.

Examples:
  omgfs sync ./pictures album/               what is not there yet
  omgfs sync -n --delete ./pictures album/   what would be stored and removed
`;

export const nginxConfigExamples = `
Examples:
  omgfs nginx-config --out ./nginx --application 127.0.0.1:8080
  nginx -p ./nginx -c nginx.conf             try it
  omgfs nginx-config --out ./nginx --application 127.0.0.1:8080 --cache /var/cache/omgfs \\
      --answer-cache /run/omgfs-answers --answer-path /pictures/
                                             keeps files, and answers that allow it
  omgfs nginx-config > /etc/nginx/omgfs-targets.conf && nginx -s reload
                                             after hosts came or went
`;

export const doctorHelp = `
Examples:
  omgfs doctor --config /etc/mogilefs/mogilefsd.conf
  omgfs doctor --db 'DBI:mysql:mogilefs;host=db1' --dbuser mogile --dbpass secret
  omgfs --json doctor --db DBI:SQLite:/var/lib/mogilefs.db

Exit codes: 0 nothing unsafe, 1 something is unsafe, 2 the database could not be looked at.
`;

export const completionExamples = `
Examples:
  source <(omgfs completion bash)            for this shell
  omgfs completion fish > ~/.config/fish/completions/omgfs.fish
`;

export const putExamples = `
Examples:
  omgfs put photo.jpg                        under the key photo.jpg
  omgfs put *.jpg --prefix album/            each under album/ and its name
  omgfs put -r ./pictures --prefix album/    a tree, under its paths
  tar c . | omgfs put - backup.tar           standard input, of any length
`;
