"""The source of the streams: the flights and weather of 2013, replayed into Kafka as the events they were."""
