"""Logs of a driver as spark-submit 3.5 wrote them in its client mode, which is a driver's in a pod: infer_main.py,
really run.

Places are changed, and of Spark's lines most are left out.
"""

# By stream: what the job says comes by standard output, what it says of errors too.
WRONG_MODEL = {
    "stdout": """\
Checking the model and the output
Error: s3://models/lite0: no model here: it has no model.yaml and no file ending in symbol.json
Name the folder of a bundle (`mxspark model pack` makes one), or the files: model.symbol, model.params, model.labels.
mxspark ended: {"exit_code":2,"cause":"s3://models/lite0: no model here: it has no model.yaml and no file ending in symbol.json","hint":"Name the folder of a bundle (`mxspark model pack` makes one), or the files: model.symbol, model.params, model.labels."}
""",
    "stderr": """\
26/11/28 16:18:23 INFO ShutdownHookManager: Shutdown hook called
26/11/28 16:18:23 INFO ShutdownHookManager: Deleting directory /tmp/spark-d8b30778-3f2b-404a-a711-1b101e8b2a20
""",
}
TOO_MANY_FAILED = {
    "stdout": """\
Starting Spark
Predicting 4 images in 1 shard
Running on cpu(0) with 1 worker, Spark 3.5.9
Counting the parts

  key          prediction                                 next     third
 ─────────────────────────────────────────────────────────────────────────
  0000_0.png   1.00 0                                     0.00 6   0.00 5
  bad1.png     not_an_image: not an image of the forma…

4 images: 1 ok, 3 failed (3 not_an_image)
Predictions: s3://results/table
Error: 3 of 4 images failed, more than max_failed_fraction 0.05 allows: 3 not_an_image
For example bad1.png (not_an_image: not an image of the formats BMP, GIF, JPEG, PNG, TIFF, WEBP)
Fix them and add --retry-failed, or allow more with --max-failed-fraction.
mxspark ended: {"exit_code":3,"cause":"3 of 4 images failed, more than max_failed_fraction 0.05 allows: 3 not_an_image\\nFor example bad1.png (not_an_image: not an image of the formats BMP, GIF, JPEG, PNG, TIFF, WEBP)","hint":"Fix them and add --retry-failed, or allow more with --max-failed-fraction."}
""",
    "stderr": """\
26/11/28 16:19:17 INFO SparkContext: Running Spark version 3.5.9
26/11/28 16:19:17 WARN NativeCodeLoader: Unable to load native-hadoop library for your platform...
26/11/28 16:19:19 INFO BlockManager: Initialized BlockManager: BlockManagerId(driver, 127.0.0.1, 35041, None)
""",
}
# Java got SIGTERM, and took the job with it before it could say a word.
TERMINATED = {
    "stdout": """\
Checking the model and the output
Listing s3://images/photos
Starting Spark
Predicting 1,797 images in 8 shards
Running on cpu(0) with 1 worker, Spark 3.5.9
""",
    "stderr": """\
26/11/28 16:19:35 INFO BlockManager: Initialized BlockManager: BlockManagerId(driver, 127.0.0.1, 40275, None)
26/11/28 16:19:41 ERROR Executor: Exception in task 0.0 in stage 0.0 (TID 0): Python worker exited unexpectedly (crashed)
""",
}
# What spark-submit's cluster mode says of the driver's pod, in the words of its source (LoggingPodStatusWatcher).
SUBMITTER = {
    "stderr": """\
26/11/28 16:19:31 INFO LoggingPodStatusWatcherImpl: Application status for spark-1 (phase: Failed)
26/11/28 16:19:31 INFO LoggingPodStatusWatcherImpl: Container final statuses:


\t container name: spark-kubernetes-driver
\t container image: mxspark:emr
\t container state: terminated
\t container started at: 2026-11-28T16:18:00Z
\t container finished at: 2026-11-28T16:19:29Z
\t exit code: 3
\t termination reason: Error
"""
}
