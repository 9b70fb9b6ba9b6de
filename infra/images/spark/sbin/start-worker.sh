#!/usr/bin/env bash
# Spark's operator for Kubernetes starts a worker with this script and the master's URL, as start-master.sh. What the worker
# offers to programs is in SPARK_WORKER_CORES and SPARK_WORKER_MEMORY.
set -euo pipefail
cd /opt/sluice
exec infra/images/spark/start.sh org.apache.spark.deploy.worker.Worker --webui-port 8081 "$1"
