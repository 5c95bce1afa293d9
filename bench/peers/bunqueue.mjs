// Drives bunqueue, embedded, on SQLite, under Bun: `bunqueue.mjs shell|bulk|drain N`, in an empty directory; prints seconds.

import { Queue, Worker } from "bunqueue/client";

const [what, count] = process.argv.slice(2);
const jobs = Number(count);
const options = { embedded: true, dataPath: "bunqueue.db" };
const queue = new Queue("jobs", options);
const all = Array.from({ length: jobs }, (_, n) => ({ name: "hi", data: { n } }));

let begin = performance.now();
for (let at = 0; at < jobs; at += 1000) await queue.addBulk(all.slice(at, at + 1000));
if (what === "bulk") {
    console.log((performance.now() - begin) / 1000);
    process.exit();
}
let done = 0;
begin = performance.now();
const run = async () => {
    const child = Bun.spawn(["/bin/sh", "-c", "echo hi"], { stdout: "pipe", stderr: "pipe" });
    return await new Response(child.stdout).text();
};
const drains = what === "drain";
const worker = new Worker("jobs", drains ? async () => {} : run, { ...options, concurrency: drains ? 1000 : 4 });
worker.on("completed", () => {
    done += 1;
    if (done < jobs) return;
    console.log((performance.now() - begin) / 1000);
    process.exit();
});
