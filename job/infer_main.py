"""What spark-submit is pointed at: takes `mxspark run`'s flags, or the article's own (--bucket, --sym_url, …).

spark-submit job/infer_main.py --input s3://bucket/photos --output s3://bucket/table --model s3://bucket/models/resnet
"""

import sys

from mxspark.cli import main_submitted

if __name__ == "__main__":
    main_submitted(sys.argv[1:])
