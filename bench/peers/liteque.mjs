// Drives liteque: `liteque.mjs bulk N`, in an empty directory; prints seconds. Its worker does not run on this driver.

import { buildDBClient, SqliteQueue } from "liteque";

const jobs = Number(process.argv[3]);
const db = buildDBClient("liteque.db", { runMigrations: true, walEnabled: true });
const queue = new SqliteQueue("jobs", db, { defaultJobArgs: { numRetries: 0 }, keepFailedJobs: false });

const begin = performance.now();
for (let n = 0; n < jobs; n += 1) await queue.enqueue({ n });
console.log((performance.now() - begin) / 1000);
const { pending } = await queue.stats();
process.exit(pending === jobs ? 0 : 1);
