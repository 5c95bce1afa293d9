// Drives bunqueue, embedded, on SQLite, under Bun: `bunqueue.mjs shell|bulk|drain N`, in an empty directory; prints seconds.

import { Queue, Worker } from "bunqueue/client";

const [what, count] = process.argv.slice(2);
const jobs = Number(count);
const options = { embedded: true, dataPath: "bunqueue.db" };
const queue = new Queue("jobs", options);
const all = Array.from({ length: jobs }, (_, n) => ({ name: "hi", data: { n } }));

const leave = (why) => {
    if (why) console.error(why);
    process.exit(why ? 1 : 0);
};
let begin = performance.now();
for (let at = 0; at < jobs; at += 1000) await queue.addBulk(all.slice(at, at + 1000));
if (what === "bulk") {
    console.log((performance.now() - begin) / 1000);
    const { waiting } = await queue.getJobCountsAsync();
    leave(waiting !== jobs && `${waiting} of ${jobs} jobs wait`);
}
let done = 0;
begin = performance.now();
const run = async () => {
    const child = Bun.spawn(["/bin/sh", "-c", "echo hi"], { stdout: "pipe", stderr: "pipe" });
    const text = await new Response(child.stdout).text();
    if (text !== "hi\n" || (await child.exited) !== 0) throw new Error(`it printed ${text}`);
    return text;
};
const drains = what === "drain";
// What is fastest for it in its own process: many jobs at each look, and no locks to be renewed.
const most = { concurrency: 1000, batchSize: 1000, heartbeatInterval: 0, useLocks: false };
const worker = new Worker("jobs", drains ? async () => {} : run, { ...options, ...(drains ? most : { concurrency: 4 }) });
worker.on("completed", async () => {
    done += 1;
    if (done < jobs) return;
    console.log((performance.now() - begin) / 1000);
    const { waiting, active, failed } = await queue.getJobCountsAsync();
    leave(waiting + active + failed > 0 && `${waiting} wait, ${active} run, ${failed} failed`);
});
worker.on("failed", (_, error) => leave(error));
worker.on("error", (error) => leave(error));
