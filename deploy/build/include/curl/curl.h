/* Empty on purpose: librdkafka includes this header even where it is built without curl. */
