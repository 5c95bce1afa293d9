"""Drives HyperQueue's local cluster: `hyperqueue.py shell N`, in an empty directory; prints seconds."""

import os
import pathlib
import sys
import time

# This file has the package's name; what it means is the package.
sys.path = [place for place in sys.path if not place.endswith("bench/peers")]
from hyperqueue import Job  # noqa: E402
from hyperqueue.cluster import LocalCluster, WorkerConfig  # noqa: E402
from hyperqueue.ffi.protocol import ResourceRequest  # noqa: E402

jobs = int(sys.argv[2])
here = pathlib.Path.cwd()
outputs = here / "outputs"
outputs.mkdir()
# A gate that takes all cores holds back what is submitted beforehand.
os.mkfifo("gate")
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=4))
    client = cluster.client()
    gate = Job(default_workdir=here)
    gate.program(["/bin/sh", "-c", "echo > here; read x < gate"], resources=ResourceRequest(cpus=4))
    held = client.submit(gate)
    while not pathlib.Path("here").exists():
        time.sleep(0.005)
    job = Job(default_workdir=outputs)
    for _ in range(jobs):
        job.program(["/bin/sh", "-c", "echo hi"])
    submitted = client.submit(job)
    begin = time.time()
    pathlib.Path("gate").write_text("\n")
    # Its bar of progress goes to standard output.
    stdout = os.dup(1)
    os.dup2(2, 1)
    # It looks once a second: when the last job wrote, its output says. Whoever fails raises.
    client.wait_for_jobs([held, submitted])
    os.dup2(stdout, 1)
    written = [output for output in outputs.glob("*.stdout") if output.read_text() == "hi\n"]
    if len(written) != jobs:
        sys.exit(f"{len(written)} of {jobs} jobs ran")
    print(max(output.stat().st_mtime for output in written) - begin, flush=True)
