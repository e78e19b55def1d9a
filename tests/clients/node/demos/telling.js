// How the demonstrations tell what they see: lines for people after a bar, results for the runner.

let count = 0
let failed = 0

/** A line for the reader. */
export function say(line) {
  console.log(`| ${line}`)
}

/** A result: what was to be seen, and whether it was. */
export function seen(what, wasSeen) {
  count += 1
  failed += wasSeen ? 0 : 1
  console.log(`${wasSeen ? 'ok' : 'not ok'} ${count} - ${what}`)
}

/** Ends the demonstration: exit code 0 when all of it was seen. */
export function finish() {
  console.log(`1..${count}`)
  process.exitCode = failed > 0 ? 1 : 0
}
