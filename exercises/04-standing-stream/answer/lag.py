"""Prints how far a consumer group has read each partition of a topic.

lag.py BOOTSTRAP TOPIC GROUP
"""

import sys

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec


def main(bootstrap: str, topic: str, group: str) -> None:
    """Prints a line per partition."""
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    (described,) = admin.describe_topics([topic])
    partitions = sorted(TopicPartition(topic, each["partition_index"]) for each in described["partitions"])
    ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    committed = admin.list_group_offsets([group])[group]
    print("partition  committed  end  lag")
    for partition in partitions:
        offset = committed[partition].offset if partition in committed else 0
        end = ends[partition].offset
        print(f"{partition.partition:9}  {offset:9}  {end:3}  {end - offset:3}")
    admin.close()


if __name__ == "__main__":
    main(*sys.argv[1:4])
