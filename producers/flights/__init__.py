"""The flights data set: flights and weather of 2013 in New York, replayed into Kafka as events."""
