"""Drives litequeue: `litequeue.py shell|bulk N`, in an empty directory; prints seconds. It is a queue without a worker:
four threads take, run and finish."""

import subprocess
import sys
import threading
import time

# This file has the package's name; what it means is the package.
sys.path = [place for place in sys.path if not place.endswith("bench/peers")]
from litequeue import LiteQueue  # noqa: E402

what, jobs = sys.argv[1], int(sys.argv[2])
queue = LiteQueue("queue.db")
begin = time.monotonic()
for _ in range(jobs):
    queue.put("echo hi")
if what == "bulk":
    print(time.monotonic() - begin)
    sys.exit(None if queue.qsize() == jobs else f"{queue.qsize()} of {jobs} jobs wait")
outputs = []


def work():
    own = LiteQueue("queue.db")
    while (message := own.pop()) is not None:
        ran = subprocess.run(["/bin/sh", "-c", message.data], capture_output=True, check=True)
        own.done(message.message_id)
        outputs.append(ran.stdout)


begin = time.monotonic()
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(time.monotonic() - begin)
ran = outputs.count(b"hi\n")
sys.exit(None if ran == jobs else f"{ran} of {jobs} jobs ran")
