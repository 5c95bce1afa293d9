"""Drives HyperQueue's local cluster: `hyperqueue.py shell N`, in an empty directory; prints seconds."""

import os
import sys
import time

# This file has the package's name; what it means is the package.
sys.path = [place for place in sys.path if not place.endswith("bench/peers")]
from hyperqueue import Job  # noqa: E402
from hyperqueue.cluster import LocalCluster, WorkerConfig  # noqa: E402

jobs = int(sys.argv[2])
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=4))
    client = cluster.client()
    job = Job(default_workdir=os.getcwd())
    for _ in range(jobs):
        job.program(["/bin/sh", "-c", "echo hi"])
    begin = time.monotonic()
    submitted = client.submit(job)
    # Its bar of progress goes to standard output.
    stdout = os.dup(1)
    os.dup2(2, 1)
    client.wait_for_jobs([submitted])
    os.dup2(stdout, 1)
    print(time.monotonic() - begin, flush=True)
