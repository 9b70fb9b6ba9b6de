#!/usr/bin/env bash
# Spark's operator for Kubernetes starts a master with this script, at its place in Spark's own images.
set -euo pipefail
cd /opt/sluice
exec infra/images/spark/start.sh org.apache.spark.deploy.master.Master --host "$(hostname -f)" --port 7077 --webui-port 8080
