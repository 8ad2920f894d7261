"""An Airflow DAG with both ways to run mxspark: a pod of the image, and Python on Airflow's own worker.

Airflow 3 (and 2.9 or newer) with apache-airflow-providers-cncf-kubernetes. Both tasks resume where they were stopped
when Airflow retries them: the same command on the same output.
"""

# mypy: disable-error-code="untyped-decorator"

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.sdk import dag, task
from kubernetes.client import V1ResourceRequirements

IMAGE = "mxspark:latest"  # yours: docs/images.md
MODEL = "s3://models/efficientnet-lite0"


@dag(schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False, tags=["mxspark"])
def mxspark_predictions() -> None:
    """Predicts the images that a day brought, in a pod, then looks at what came out."""
    in_pod = KubernetesPodOperator(
        task_id="in_a_pod",
        image=IMAGE,
        # The image's entrypoint is `mxspark`. Several executors: `mxspark submit kubernetes`, or the chart.
        arguments=[
            "run",
            *("--input", "s3://images/{{ ds }}"),
            *("--output", "s3://images/predictions/{{ ds }}"),
            *("--model", MODEL),
            *("--master", "local[4]"),
        ],
        container_resources=V1ResourceRequirements(requests={"cpu": "4", "memory": "8Gi"}, limits={"memory": "8Gi"}),
        service_account_name="mxspark",  # whose role may read and write the bucket
        retries=3,
        retry_delay=timedelta(minutes=5),
    )

    @task(retries=3, retry_delay=timedelta(minutes=5))
    def in_python(ds: str | None = None) -> dict[str, Any]:
        """For Airflow's workers that have mxspark and Java: `mxspark[cpu,spark]`."""
        import mxspark

        summary = mxspark.run(
            input=f"s3://images/{ds}",
            output=f"s3://images/predictions-by-python/{ds}",
            model=MODEL,
            spark={"master": "local[4]"},
        )
        return {"rows": summary.rows, "failed": summary.failed, "by_status": dict(summary.by_status)}

    in_pod >> in_python()


mxspark_predictions()
