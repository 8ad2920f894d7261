"""`mxspark doctor emr`: each line ok, problem or can't tell, with the hint."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from tests.command import Finished
from tests.emr.conftest import Moto, VirtualCluster
from tests.emr.jobs import ACCOUNT, IMAGE, REGION, settings

from mxspark.submit.emr import checks, permissions, virtual_clusters
from mxspark.submit.emr.aws import Aws
from mxspark.submit.emr.trust_policy import check, pattern, service_account

ROLE = f"arn:aws:iam::{ACCOUNT}:role/mxspark-job"
PROVIDER = "oidc.eks.eu-central-1.amazonaws.com/id/EXAMPLED539D4633E53DE1B71EXAMPLE"
ARN = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{PROVIDER}"


def web_identity(subjects: str | list[str], operator: str = "StringLike", provider: str = PROVIDER) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{provider}"},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {operator: {f"{provider}:sub": subjects}},
    }


@pytest.fixture
def well(moto: Moto, virtual_cluster: VirtualCluster) -> list[str]:
    """AWS with all that a job run needs, and the flags that name it."""
    iam, logs = moto.client("iam"), moto.client("logs")
    issuer = (
        moto.client("eks")
        .describe_cluster(name="vision")["cluster"]["identity"]["oidc"]["issuer"]
        .removeprefix("https://")
    )
    policy = {
        "Version": "2012-10-17",
        "Statement": [web_identity(pattern(ROLE, virtual_cluster.namespace), provider=issuer)],
    }
    if "mxspark-job" not in [role["RoleName"] for role in iam.list_roles()["Roles"]]:
        iam.create_role(RoleName="mxspark-job", AssumeRolePolicyDocument="{}")
    if not any(
        issuer in provider["Arn"] for provider in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    ):
        iam.create_open_id_connect_provider(
            Url=f"https://{issuer}", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["0" * 40]
        )
    iam.update_assume_role_policy(RoleName="mxspark-job", PolicyDocument=json.dumps(policy))
    logs.create_log_group(logGroupName=f"/emr/{virtual_cluster.name}")
    places = ["--input", "s3://images/photos", "--output", "s3://results/table", "--model", "s3://models/lite0"]
    return [
        *places, "--virtual-cluster", virtual_cluster.id, "--execution-role", ROLE, "--image", IMAGE,
        "--s3-logs", "s3://logs/emr", "--log-group", f"/emr/{virtual_cluster.name}",
    ]  # fmt: skip


@pytest.fixture
def doctor(moto: Moto, here: Callable[..., Finished]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs `mxspark doctor emr --json`: its exit code, and the findings by subject."""

    def run(*flags: str, environment: dict[str, str | None] | None = None) -> tuple[int, dict[str, Any]]:
        done = here("doctor", "emr", "--json", *flags, environment={**moto.environment, **(environment or {})})
        return done.code, {finding["subject"]: finding for finding in json.loads(done.output)["findings"]}

    return run


def test_where_all_is_well_each_line_says_so(
    doctor: Callable[..., tuple[int, dict[str, Any]]], well: list[str], virtual_cluster: VirtualCluster
) -> None:
    code, found = doctor(*well)

    assert code == 0
    assert {subject: finding["verdict"] for subject, finding in found.items()} == dict.fromkeys(
        ["request", "credentials", "virtual cluster", "EKS cluster", "image", "execution role", "trust policy",
         "OIDC provider", "role's permissions", *(f"bucket {name}" for name in ("logs", "results", "models", "images")),
         "logs in CloudWatch"], "ok"
    )  # fmt: skip
    assert f"namespace {virtual_cluster.namespace} of the EKS cluster vision" in found["virtual cluster"]["text"]
    assert "the CPU build" in found["image"]["text"]


PROBLEMS = [
    (["--virtual-cluster", "nobody"], "virtual cluster", "there is no virtual cluster nobody", "--virtual-cluster"),
    (["--release", "emr-7.12.0-latest"], "image", "is based on emr-7.13.0", "EMR_BASE"),
    (
        ["--context", "gpu", "--set", "spark.executor_gpus=1"],
        "image",
        "MXNet's CPU build",
        "make image-gpu TARGET=emr",
    ),
    (["--image", IMAGE.replace(":emr", ":none")], "image", "ECR has no image", "Push it"),
    (["--execution-role", ROLE.replace("-job", "-none")], "execution role", "mxspark-none", "--execution-role"),
    (
        ["--execution-role", ROLE.replace("role/", "role/team/")],
        "execution role",
        "not arn:aws:iam::123456789012:role/team/",
        "path",
    ),
    (["--s3-logs", "s3://nowhere-at-all/x"], "bucket nowhere-at-all", "there is no such bucket", "write logs to S3"),
    (["--input", "s3://nowhere-at-all/x"], "bucket nowhere-at-all", "there is no such bucket", "read the images"),
    (["--model", "s3://nowhere-at-all/x"], "bucket nowhere-at-all", "there is no such bucket", "read the model"),
    (
        ["--output", "s3://nowhere-at-all/x"],
        "bucket nowhere-at-all",
        "there is no such bucket",
        "write the predictions",
    ),
    (["--output", "out"], "request", "output.path is 'out', which is on this machine", "s3://"),
    (
        ["--set", "kubernetes.driver.template={spec: {hostNetwork: true}}"],
        "request",
        "EMR does not allow spec.hostNetwork",
        "Take it",
    ),
    (["--set", "spark.conf.spark.executorEnv.DB_PASSWORD=x"], "request", "expose a secret", "Kubernetes Secret"),
    (["--context", "gpu"], "request", "spark.executor_gpus is 0", ""),
    (["--job-template", "photos"], "request", "for many outputs", "emr.staging"),
    (
        ["--log-group", "/emr/none"],
        "logs in CloudWatch",
        "there is no log group /emr/none",
        "aws logs create-log-group",
    ),
]


@pytest.mark.parametrize(("flags", "subject", "text", "hint"), PROBLEMS)
def test_each_problem_is_told_with_its_mend(
    doctor: Callable[..., tuple[int, dict[str, Any]]],
    well: list[str],
    flags: list[str],
    subject: str,
    text: str,
    hint: str,
) -> None:
    code, found = doctor(*well, *flags)

    assert code == 1
    assert found[subject]["verdict"] == "problem"
    assert text in found[subject]["text"]
    assert hint in found[subject]["hint"]


def test_rights_that_the_role_lacks_are_named(
    doctor: Callable[..., tuple[int, dict[str, Any]]], well: list[str], moto: Moto
) -> None:
    moto.denied.add("s3:DeleteObject")
    code, found = doctor(*well)
    assert code == 1
    assert (
        found["role's permissions"]["text"]
        == "it may not write the predictions: s3:DeleteObject on arn:aws:s3:::results/table/x"
    )


def test_a_right_that_depends_on_what_is_not_known_can_t_be_told(
    doctor: Callable[..., tuple[int, dict[str, Any]]], well: list[str], moto: Moto
) -> None:
    moto.denied.add("s3:DeleteObject")
    moto.missing = "aws:SourceVpce"
    code, found = doctor(*well)
    assert code == 0
    assert found["role's permissions"]["verdict"] == "can't tell"
    assert (
        "s3:DeleteObject on arn:aws:s3:::results/table/x, by a condition on aws:SourceVpce"
        in found["role's permissions"]["text"]
    )


def test_what_is_allowed_whatever_is_not_known_is_allowed(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"EvalActionName": "s3:GetObject", "EvalDecision": "allowed", "MissingContextValues": ["aws:SourceVpce"]}
    monkeypatch.setattr(permissions, "simulated", lambda *_: [answer])
    assert permissions.check(aws, settings(), ROLE).startswith("it may read the images, read the model")


def test_rights_to_list_are_tried_with_the_prefix_that_the_job_lists(aws: Aws) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/mxspark"
    asked = [need for need in permissions.needs(settings(), "aws", "arn") if need.actions == ("s3:ListBucket",)]
    assert {need.prefix for need in asked} == {"photos/", "lite0/", "predictions/"}
    several = settings(input__path=["s3://images/2026-*/a.jpg", "s3://lists/all.csv", "s3://more/photos"])
    images = [
        f"{', '.join(need.actions)} on {need.resource}"
        for need in permissions.needs(several, "aws", "arn")
        if need.words in ("read the images", "read the manifest")
    ]
    assert images == [
        "s3:GetObject on arn:aws:s3:::images/x",
        "s3:ListBucket on arn:aws:s3:::images",
        "s3:GetObject on arn:aws:s3:::lists/all.csv",
        "s3:GetObject on arn:aws:s3:::lists/x",
        "s3:GetObject on arn:aws:s3:::more/photos/x",
        "s3:ListBucket on arn:aws:s3:::more",
    ]
    with Stubber(aws.client("iam")) as iam:
        entry = {"ContextKeyName": "s3:prefix", "ContextKeyValues": ["photos/"], "ContextKeyType": "string"}
        expected = {"PolicySourceArn": arn, "ActionNames": ["s3:ListBucket"], "ResourceArns": ["arn:aws:s3:::images"]}
        iam.add_response(
            "simulate_principal_policy", {"EvaluationResults": []}, {**expected, "ContextEntries": [entry]}
        )
        assert permissions.simulated(aws, arn, asked[0]) == []


def test_without_an_oidc_provider_in_iam_a_trust_policy_that_names_it_is_not_enough(
    doctor: Callable[..., tuple[int, dict[str, Any]]], well: list[str], moto: Moto
) -> None:
    iam = moto.client("iam")
    for provider in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider["Arn"])
    code, found = doctor(*well)
    assert code == 1
    assert found["trust policy"]["verdict"] == "ok"
    assert found["OIDC provider"]["verdict"] == "problem"
    assert found["OIDC provider"]["hint"] == "eksctl utils associate-iam-oidc-provider --cluster vision --approve"


@pytest.mark.parametrize(
    ("answer", "trusts_pod_identity", "verdict"),
    [
        (["sts.amazonaws.com"], False, "ok"),
        (["another"], False, "problem"),
        ("NoSuchEntity", True, "can't tell"),
        ("NoSuchEntity", False, "problem"),
        ("AccessDenied", False, "can't tell"),
    ],
)
def test_oidc_providers(aws: Aws, answer: list[str] | str, trusts_pod_identity: bool, verdict: str) -> None:
    role = described([BY_POD_IDENTITY] if trusts_pod_identity else [])
    findings = checks.Findings()
    with Stubber(aws.client("iam")) as iam:
        if isinstance(answer, str):
            iam.add_client_error(
                "get_open_id_connect_provider", answer, "because", 403 if answer == "AccessDenied" else 404
            )
        else:
            iam.add_response(
                "get_open_id_connect_provider", {"ClientIDList": answer}, {"OpenIDConnectProviderArn": ARN}
            )
        with findings.about("OIDC provider") as ok:
            ok(checks.oidc_provider(aws, role, CLUSTER, ARN))
    assert [found.verdict for found in findings] == [verdict]


@pytest.mark.parametrize(
    ("code", "verdict", "text"),
    [
        ("ResourceNotFoundException", "problem", "there is no EKS cluster eks-1"),
        ("AccessDeniedException", "can't tell", "not allowed"),
    ],
)
def test_an_eks_cluster_that_is_gone_is_a_problem(
    aws: Aws, monkeypatch: pytest.MonkeyPatch, code: str, verdict: str, text: str
) -> None:
    monkeypatch.setattr(virtual_clusters, "find", lambda *_: CLUSTER)
    findings = checks.Findings()
    with Stubber(aws.client("eks")) as eks:
        eks.add_client_error("describe_cluster", code, "because", 404 if verdict == "problem" else 403)
        checks.look_at_clusters(findings, aws, settings())
    assert findings[-1].verdict == verdict
    assert text in findings[-1].text


def test_what_cannot_be_looked_at_is_no_problem(
    doctor: Callable[..., tuple[int, dict[str, Any]]], well: list[str]
) -> None:
    code, found = doctor(*well, "--image", "registry.example.com/mxspark:emr")
    assert code == 0
    assert {subject for subject, finding in found.items() if finding["verdict"] == "can't tell"} == {"image"}


def test_what_depends_on_the_role_can_t_be_told_without_it(
    doctor: Callable[..., tuple[int, dict[str, Any]]], well: list[str]
) -> None:
    code, found = doctor(*well, "--execution-role", "arn:aws:iam::999999999999:role/mxspark-job")
    assert code == 1
    assert "not arn:aws:iam::999999999999" in found["execution role"]["text"]
    unknown = {"trust policy", "OIDC provider", "role's permissions"}
    assert {subject for subject, finding in found.items() if finding["verdict"] == "can't tell"} == unknown


def test_it_takes_the_flags_of_a_submission(doctor: Callable[..., tuple[int, dict[str, Any]]], well: list[str]) -> None:
    flags = ("--retries", "1", "--log-prefix", "vision", "--tag", "team=vision", "--name", "photos",
             "--job-template", "photos", "--set", "emr.staging=s3://results/staging")  # fmt: skip
    assert doctor(*well, *flags)[0] == 0


def test_without_credentials_nothing_else_is_asked(doctor: Callable[..., tuple[int, dict[str, Any]]]) -> None:
    nobody: dict[str, str | None] = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    assert doctor(environment=nobody)[1]["request"]["text"] == "no image is given: kubernetes.image is not set"
    flags = ("--image", IMAGE, "--execution-role", ROLE, "--virtual-cluster", "vision")
    code, found = doctor(*flags, environment=nobody)
    assert code == 1
    assert list(found) == ["request", "credentials"]
    assert found["request"]["text"] == "not given: input.path, output.path, model.path"
    assert "aws sso login" in found["credentials"]["hint"]


@pytest.fixture
def aws() -> Aws:
    return Aws(boto3.Session("test", "test", region_name=REGION))


# --- The trust policy, whose names AWS's own command makes

CLUSTER = virtual_clusters.VirtualCluster("0b0qvauoy3ch1nqodkk4hkw2t", "vision", "RUNNING", "emr", "eks-1")
SUBJECTS = [
    f"system:serviceaccount:emr:{service_account(ROLE, f'spark-{pod}')}" for pod in ("client", "driver", "executor")
]
EVERYBODY = {"Effect": "Deny", "Principal": "*", "Action": "sts:*"}
BY_POD_IDENTITY = {
    "Effect": "Allow",
    "Principal": {"Service": "pods.eks.amazonaws.com"},
    "Action": ["sts:AssumeRole", "sts:TagSession"],
}


def with_conditions(**conditions: dict[str, str]) -> dict[str, Any]:
    """A statement for the cluster's web identities."""
    named = {
        operator: {f"{PROVIDER}:{key}": value for key, value in values.items()}
        for operator, values in conditions.items()
    }
    return {**web_identity("x"), "Condition": named}


def described(statements: list[dict[str, Any]]) -> dict[str, Any]:
    """The role as IAM describes it."""
    return {"Arn": ROLE, "AssumeRolePolicyDocument": {"Statement": statements}}


@pytest.mark.parametrize(("name", "encoded"), [("abcdefghijkl", "2x6xx5ubcrus4bplmr0"), ("+=,.@-_", "3bu5b0xg4tb")])
def test_the_role_s_name_is_written_in_base_36_as_awss_command_does(name: str, encoded: str) -> None:
    """With the values that the AWS CLI's own tests have."""
    found = pattern(f"arn:aws:iam::123456789012:role/{name}", "emr")
    assert found == f"system:serviceaccount:emr:emr-containers-sa-*-*-123456789012-{encoded}"


OURS = web_identity(pattern(ROLE, "emr"))
GITHUB = {
    **OURS,
    "Principal": {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"},
    "Condition": {"StringLike": {"token.actions.githubusercontent.com:sub": "*"}},
}


@pytest.mark.parametrize(
    ("statements", "verdict", "text"),
    [
        ([OURS], "ok", "can assume the role"),
        ([web_identity("system:serviceaccount:emr:*")], "ok", "can assume the role"),
        ([web_identity(SUBJECTS, "StringEquals")], "ok", "can assume the role"),
        (
            [web_identity(SUBJECTS[:1]), web_identity(SUBJECTS[1:], "ForAnyValue:StringLike")],
            "ok",
            "can assume the role",
        ),
        (
            [
                with_conditions(
                    StringLike={"sub": "system:serviceaccount:emr:*"}, StringEquals={"aud": "sts.amazonaws.com"}
                )
            ],
            "ok",
            "",
        ),
        ([web_identity("system:serviceaccount:other:*")], "problem", "system:serviceaccount:other:*"),
        (
            [web_identity("system:serviceaccount:emr:emr-containers-sa-*-*-123456789012-zzz")],
            "problem",
            "can't assume the role",
        ),
        ([web_identity(pattern(ROLE, "emr"), "StringEquals")], "problem", "can't assume the role"),
        ([web_identity(pattern(ROLE, "emr"), "StringNotLike")], "can't tell", "conditions"),
        ([with_conditions(StringLike={"sub": "*"}, StringEquals={"aud": "nobody"})], "problem", "nobody"),
        (
            [with_conditions(StringLike={"sub": "*"}, StringEquals={"sub": "nobody"})],
            "problem",
            "can't assume the role",
        ),
        (
            [{**OURS, "Condition": {**OURS["Condition"], "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}],
            "can't tell",
            "conditions",
        ),
        ([GITHUB], "problem", "arn:aws:iam::123456789012:oidc-provider/token.actions"),
        ([json.loads(json.dumps(OURS).replace("EXAMPLED539", "ANOTHER"))], "problem", "can't assume the role"),
        ([json.loads(json.dumps(OURS).replace("eu-central-1", "us-west-2"))], "problem", "can't assume the role"),
        ([{**OURS, "Condition": {}}], "problem", "any pod of the cluster"),
        ([web_identity("*")], "problem", "any pod of the cluster"),
        ([{**BY_POD_IDENTITY, "Principal": {"Service": "ec2.amazonaws.com"}}], "problem", "can't assume the role"),
        ([{**web_identity("*"), "Effect": "Deny"}], "can't tell", "a Deny"),
        ([OURS, EVERYBODY], "can't tell", "a Deny"),
        ([OURS, {**EVERYBODY, "Action": "sts:AssumeRole"}], "ok", "can assume the role"),
        ([{**OURS, "Principal": "*"}], "can't tell", "principals"),
        ([BY_POD_IDENTITY], "can't tell", "pod identity"),
        ([OURS, BY_POD_IDENTITY], "ok", "can assume the role"),
        ([{"Effect": "Allow", "NotPrincipal": {"AWS": "*"}, "Action": "*"}], "can't tell", ""),
        ([], "problem", "can't assume the role"),
    ],
)
def test_trust_policies(statements: list[dict[str, Any]], verdict: str, text: str) -> None:
    findings = checks.Findings()
    with findings.about("trust policy") as ok:
        ok(check(described(statements), CLUSTER, ARN))
    found = findings[0]
    assert (found.verdict, text in found.text) == (verdict, True), found
    if verdict == "problem" and "Deny" not in text:
        command = (
            "aws emr-containers update-role-trust-policy --cluster-name eks-1 --namespace emr --role-name mxspark-job"
        )
        assert found.hint == command


def tried(**flags: str) -> set[tuple[str, str, str]]:
    """The rights that are tried: in words, action and ARN."""
    found = permissions.needs(settings(**flags), "aws", f"arn:aws:logs:{REGION}:{ACCOUNT}")
    return {(need.words, action, need.resource) for need in found for action in need.actions}


def test_the_rights_that_are_tried_are_those_that_the_job_needs() -> None:
    told = tried(emr__s3_logs="s3://logs/emr", emr__log_group="/emr")
    assert (
        "write logs to CloudWatch",
        "logs:PutLogEvents",
        f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/emr:*",
    ) in told
    assert ("read the images", "s3:GetObject", "arn:aws:s3:::images/photos/x") in told
    assert ("read the images", "s3:ListBucket", "arn:aws:s3:::images") in told
    assert ("read the model", "s3:GetObject", "arn:aws:s3:::models/lite0/x") in told
    assert ("write the predictions", "s3:AbortMultipartUpload", "arn:aws:s3:::results/predictions/x") in told
    assert ("write the predictions", "s3:DeleteObject", "arn:aws:s3:::results/predictions/x") in told
    assert (
        "read what a submission puts into S3",
        "s3:GetObject",
        "arn:aws:s3:::results/predictions/_submissions/x",
    ) in told
    assert ("write logs to S3", "s3:PutObject", "arn:aws:s3:::logs/emr/x") in told


def test_the_rights_that_a_manifest_and_a_text_object_need_are_tried() -> None:
    flags = {
        "input__path": "s3://lists/keys.txt",
        "output__format": "text",
        "output__text_object": "s3://texts/table.txt",
    }
    told = tried(**flags, input__base="s3://photos/2026")
    assert ("read the manifest", "s3:GetObject", "arn:aws:s3:::lists/keys.txt") in told
    assert ("read the images", "s3:GetObject", "arn:aws:s3:::photos/2026/x") in told
    assert ("write the predictions", "s3:PutObject", "arn:aws:s3:::texts/table.txt") in told
    assert ("read the images", "s3:GetObject", "arn:aws:s3:::lists/x") in tried(**flags)
