"""The live view: what Kafka has said of flights so far, by airport and hour of event time, beside the batch."""
