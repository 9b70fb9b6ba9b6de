"""quixstreams' S3 file sink: ``python -m bench.sink.contestants.quix json|parquet``, in .venv-bench."""

import sys
from tempfile import TemporaryDirectory

from quixstreams import Application
from quixstreams.sinks.community.file.formats import Format, JSONFormat, ParquetFormat
from quixstreams.sinks.community.file.s3 import S3FileSink

from bench.sink.contestants.spec import read_spec, reading

FORMATS: dict[str, Format] = {"json": JSONFormat(compress=True), "parquet": ParquetFormat(compression="zstd")}


def main() -> None:
    """Writes the topic with the library's defaults: a checkpoint, and so a file per partition, every five seconds."""
    spec = read_spec()
    with TemporaryDirectory() as state:
        application = Application(
            broker_address=spec.kafka, consumer_group=spec.group, auto_offset_reset="earliest", state_dir=state
        )
        sink = S3FileSink(
            bucket=spec.bucket,
            directory=spec.prefix,
            format=FORMATS[sys.argv[1]],
            aws_access_key_id=spec.user,
            aws_secret_access_key=spec.password,
            region_name="us-east-1",
            endpoint_url=f"http://{spec.minio}",
        )
        application.dataframe(application.topic(spec.topic)).sink(sink)
        reading()
        application.run(count=spec.events)


if __name__ == "__main__":
    main()
