// Drives plainjob on better-sqlite3: `plainjob.mjs shell|bulk N`, in an empty directory; prints seconds.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import Database from "better-sqlite3";
import { better, defineQueue, defineWorker } from "plainjob";

const [what, count] = process.argv.slice(2);
const jobs = Number(count);
const DONE = 2;
const quiet = { error() {}, warn() {}, info() {}, debug() {} };
const queue = defineQueue({ connection: better(new Database("plainjob.db")), logger: quiet });

let begin = performance.now();
queue.addMany("hi", Array.from({ length: jobs }, (_, n) => ({ n })));
if (what === "bulk") {
    console.log((performance.now() - begin) / 1000);
    process.exit(queue.countJobs() === jobs ? 0 : 1);
}
let done = 0;
begin = performance.now();
const run = async () => {
    const { stdout } = await promisify(execFile)("/bin/sh", ["-c", "echo hi"]);
    if (stdout !== "hi\n") throw new Error(`it printed ${stdout}`);
};
const onCompleted = () => {
    done += 1;
    if (done < jobs) return;
    console.log((performance.now() - begin) / 1000);
    process.exit(queue.countJobs({ status: DONE }) === jobs ? 0 : 1);
};
const onFailed = (_, error) => {
    console.error(error);
    process.exit(1);
};
// A worker takes one job at a time.
for (let n = 0; n < 4; n += 1) {
    void defineWorker("hi", run, { queue, logger: quiet, pollIntervall: 10, onCompleted, onFailed }).start();
}
