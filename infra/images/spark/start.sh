#!/usr/bin/env bash
# Starts one of Spark's servers in a container: `start.sh CLASS OPTION…`. Spark reads its secret under a name of its own.
set -euo pipefail
export _SPARK_AUTH_SECRET="${SLUICE_SPARK_SECRET:?run \`make up\`, which generates it in .env}"
unset SLUICE_SPARK_SECRET
exec spark-class "$@"
