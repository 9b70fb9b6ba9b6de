-- The name of each stream's topic, so that it is known when its contract is removed. Null before the next launch: then
-- the topic has the stream's name.
alter table ops.streams add column topic text;
