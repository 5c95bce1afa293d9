"""Drives huey on SQLite: `huey.py shell|bulk N`, in an empty directory; prints seconds."""

import logging
import subprocess
import sys
import time

# This file has the package's name; what it means is the package.
sys.path = [place for place in sys.path if not place.endswith("bench/peers")]
from huey import SqliteHuey  # noqa: E402

what, jobs = sys.argv[1], int(sys.argv[2])
logging.disable(logging.CRITICAL)
huey = SqliteHuey(filename="huey.db", fsync=True, journal_mode="wal", results=True, store_none=True)


outputs = []


@huey.task()
def hi():
    ran = subprocess.run(["/bin/sh", "-c", "echo hi"], capture_output=True)
    outputs.append(ran.stdout if ran.returncode == 0 else None)
    return ran.stdout


begin = time.monotonic()
for _ in range(jobs):
    hi()
if what == "bulk":
    print(time.monotonic() - begin)
    sys.exit(None if huey.pending_count() == jobs else f"{huey.pending_count()} of {jobs} jobs wait")
consumer = huey.create_consumer(workers=4, worker_type="thread", initial_delay=0.005, max_delay=0.01, periodic=False)
begin = time.monotonic()
consumer.start()
# Its threads share one lock with this one, so it is asked for its results, which takes a query, only at the end.
while len(outputs) < jobs:
    time.sleep(0.005)
while huey.result_count() < jobs:
    time.sleep(0.005)
print(time.monotonic() - begin, flush=True)
consumer.stop(graceful=True)
ran = outputs.count(b"hi\n")
sys.exit(None if ran == jobs else f"{ran} of {jobs} jobs ran")
