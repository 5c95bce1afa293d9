// Drives liteque: `liteque.mjs shell|bulk N`, in an empty directory; prints seconds.

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { buildDBClient, Runner, SqliteQueue } from "liteque";
import { z } from "zod";

const [what, count] = process.argv.slice(2);
const jobs = Number(count);
const db = buildDBClient("liteque.db", { runMigrations: true, walEnabled: true });
const queue = new SqliteQueue("jobs", db, { defaultJobArgs: { numRetries: 0 }, keepFailedJobs: false });

let begin = performance.now();
for (let n = 0; n < jobs; n += 1) await queue.enqueue({ n });
if (what === "bulk") {
    console.log((performance.now() - begin) / 1000);
    process.exit();
}
let done = 0;
begin = performance.now();
const runner = new Runner(
    queue,
    {
        run: async () => {
            await promisify(execFile)("/bin/sh", ["-c", "echo hi"]);
        },
        onComplete: async () => {
            done += 1;
            if (done < jobs) return;
            console.log((performance.now() - begin) / 1000);
            process.exit();
        },
        onError: async () => process.exit(1),
    },
    { concurrency: 4, pollIntervalMs: 10, timeoutSecs: 60, validator: z.object({ n: z.number() }) },
);
void runner.run();
