"""The documentation: each command that it shows is run by a test as it stands, or checked as far as that goes without
what it needs, or it is said here why neither is done; each file that it shows is one. What helm and kubectl take is in
tests/chart/test_docs.py. What is generated of it is up to date. Its links are checked by `make docs`.
"""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import typer
from bench.__main__ import BENCHMARKS
from botocore import xform_name
from botocore.validate import ParamValidator
from examples.kind.run import Tools
from tools.reference.pages import pages as generated
from typer.core import TyperCommand
from typer.main import get_command

from mxspark import doctor
from mxspark.cli import article
from mxspark.cli.app import app
from mxspark.settings import document, sources
from mxspark.settings.job import Settings
from mxspark.settings.model_spec import ModelSpec
from tests.command import REPOSITORY
from tests.conftest import Here
from tests.documentation import SHELL, Block, Shown, blocks, in_a_line, pages, shown

# Commands that nothing here checks, by how they begin: the tests that run or check them, or why none does.
ELSEWHERE = {
    "curl": "tests/monitoring/test_run.py",
    "helm": "tests/chart/test_docs.py",
    "kubectl": "tests/chart/test_docs.py",
    "pip download": "tests/examples/test_onnx.py",
    "python3 -m zipfile": "tests/examples/test_onnx.py",
}
UNCHECKED = {
    "aws ecr get-login-password": "AWS's command line has it of its own, and isn't installed here",
    "aws eks update-kubeconfig": "the same",
    "aws emr-containers update-role-trust-policy": "the same",
    "aws s3 mb": "the same",
    "docker login": "needs a registry",
    "docker push": "needs a registry",
    "docker tag": "needs the image",
    "eksctl": "isn't installed here, and asks a cluster of AWS's",
    "emr-on-eks-custom-image": "the same; tests/image/test_emr.py checks what it checks",
    "python -m tf2onnx.convert": "needs TensorFlow",
    **dict.fromkeys((".", "check", "diff", "grep", "id", "mkdir", "sort"), "any shell's, or any machine's"),
}
# What a reader puts in, and what another command of a page writes.
PLACEHOLDERS = {"$REGISTRY": "registry.example.com", "IMAGE": "mxspark:1", "GPU-IMAGE": "mxspark:1-gpu"}
NAMES = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, PLACEHOLDERS))})(?!\w)")
WRITTEN = {"best.yaml": "input: {path: photos}\nmodel: {path: bundle}\n"}
JOB = {name: {"path": f"s3://bucket/{name}"} for name in ("input", "output", "model")}

BLOCKS = blocks()
COMMANDS = [command for block in BLOCKS if block.language in SHELL for command in block.commands()]
MAKEFILE = (REPOSITORY / "Makefile").read_text()


def is_in(table: dict[str, str], command: Shown) -> bool:
    words = [command.program, *command.arguments]
    return any(words[: len(key.split())] == key.split() for key in table)


def of(*programs: str) -> list[Shown]:
    """Their commands, but for those that are elsewhere or unchecked."""
    return [each for each in COMMANDS if each.program in programs and not is_in(ELSEWHERE | UNCHECKED, each)]


def filled(text: str) -> str:
    """With something that fits instead of what a reader puts in."""
    return NAMES.sub(lambda name: PLACEHOLDERS[name[0]], text)


# ---- mxspark ----


@pytest.fixture
def accepted(
    here: Here, no_aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Shown, list[str]], str]:
    """Gives what the real command line has against arguments of mxspark, or the settings that they make; '' where that
    is nothing.

    The command ends when it has its arguments, or if it takes a job its settings.
    """
    understand, effective = TyperCommand.invoke, sources.effective

    def invoked(command: TyperCommand, context: Any) -> Any:
        return understand(command, context) if "assignments" in context.params else None

    def validated(layers: Any) -> Any:
        effective(layers)
        raise typer.Exit

    monkeypatch.setattr(TyperCommand, "invoke", invoked)
    monkeypatch.setattr(doctor, "examine", lambda *_: [])

    def objection(command: Shown, arguments: list[str]) -> str:
        """In a folder with the files that its page shows or another command has written."""
        folder = tmp_path / command.block.page
        folder.mkdir(parents=True, exist_ok=True)
        named = {block.name: block.text for block in blocks(command.block.page) if block.name}
        for name, text in (named | (WRITTEN if "--settings" in arguments else {})).items():
            (folder / name).write_text(text)
        monkeypatch.chdir(folder)
        if arguments[:2] == ["submit", "kubernetes"]:  # to its manifests
            ended = here(*arguments, "--dry-run", "--namespace=vision")
        else:
            with monkeypatch.context() as patch:
                patch.setattr(sources, "effective", validated)
                ended = here(*arguments)
        return f"{command}: {ended.errors}" if ended.code else ""

    return objection


def test_mxspark_takes_the_arguments_that_are_shown(accepted: Callable[[Shown, list[str]], str]) -> None:
    found = [accepted(command, list(map(filled, command.arguments))) for command in of("mxspark")]
    assert len(found) > 30
    assert [said for said in found if said] == []


def test_the_image_s_commands_are_mxspark_s(accepted: Callable[[Shown, list[str]], str]) -> None:
    """What follows the image, where that is the default command and not another program of it."""
    calls = [(command, command.arguments[command.arguments.index("mxspark") + 1 :]) for command in of("docker")]
    found = [accepted(command, rest) for command, rest in calls if not rest[0].startswith(("/", "…"))]
    assert len(found) > 0
    assert [said for said in found if said] == []


def test_spark_submit_is_given_what_the_job_takes(accepted: Callable[[Shown, list[str]], str], tmp_path: Path) -> None:
    for command in of("spark-submit"):
        (main,) = [place for place, word in enumerate(command.words) if word.endswith("infer_main.py")]
        arguments = list(command.words[main + 1 :])
        if article.is_article(arguments):
            article.parse([*arguments, "--set", f"output.path={tmp_path}/table"], {})
        else:
            assert accepted(command, ["run", *arguments]) == ""


@cache
def flags(*names: str) -> set[str]:
    """Those of a command of mxspark. Raises KeyError where there is none of these names."""
    command: Any = get_command(app)
    for name in names:
        context = command.make_context("mxspark", [], resilient_parsing=True)
        command = command.get_command(context, name)
        if command is None:
            raise KeyError(name)
    return {"--help", *(flag for each in command.params for flag in (*each.opts, *each.secondary_opts))}


def test_commands_and_flags_that_are_named_in_the_text_are_there() -> None:
    named = in_a_line("mxspark")
    assert len(named) > 50
    for command in named:
        groups = 2 if command.words[1] in ("model", "submit") else 1
        names = [word for word in command.words[1 : groups + 1] if word.isalpha() and word.islower()]
        given = {word.partition("=")[0] for word in command.arguments if word.startswith("--")}
        assert given <= flags(*names), str(command)


def test_the_guide_submits_the_digits_as_kind_run_says() -> None:
    """tests/kubernetes/test_laptop.py runs what it says."""
    command = shown("docs/kubernetes.md", ".venv/bin/mxspark", "submit", "kubernetes")[0]
    assert sorted(command[1:]) == sorted(Tools("kubectl", "helm", "kind-mxspark", "mxspark").submit()[1:])


def test_settings_that_are_set_are_there() -> None:
    leaves = {".".join(path) for path in Settings.leaves()}
    set_ = re.compile(r"--set[ =]['\"]?([a-z][\w.-]*)=")
    lines = [(page, line) for page in pages() for line in (REPOSITORY / page).read_text().splitlines()]
    # Those of helm are values of the chart.
    set_there = [(name, key) for name, line in lines if "helm " not in line for key in set_.findall(line)]
    of_a_mapping = re.compile("|".join(re.escape(f"{key}.") for key in leaves))
    assert len(set_there) > 20
    assert [(page, key) for page, key in set_there if key not in leaves and not of_a_mapping.match(key)] == []


# ---- other programs ----


def test_make_has_the_targets_and_variables_that_are_shown() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
    scripts = MAKEFILE + "".join(path.read_text() for path in (REPOSITORY / "tools").glob("*.sh"))
    calls = of("make") + in_a_line("make")
    assert len(calls) > 30
    for command in calls:
        for word in command.arguments:
            name, equals, _ = word.partition("=")
            if equals:
                assert re.search(rf"\b{name}\b", scripts), f"{command}: nothing reads {name}"
            elif re.fullmatch("[a-z0-9-]+", word):
                assert word in targets, str(command)


def test_python_is_given_what_there_is(pytestconfig: pytest.Config) -> None:
    """A file, a module, code; pytest's own arguments."""
    for command in [*of("python", "python3"), *in_a_line("python")]:
        match command.arguments:
            case ["-m", "pytest", *rest]:
                known, unknown_ = pytestconfig._parser.parse_known_and_unknown_args(rest)
                assert unknown_ == [], str(command)
                assert all(place == "FILE" or (REPOSITORY / place).exists() for place in known.file_or_dir), str(
                    command
                )
            case ["-m", "bench", name, *_]:
                assert name in BENCHMARKS, str(command)
            case ["-m", module, *_]:
                assert is_in(UNCHECKED, command) or find_spec(module), str(command)
            case ["-c", code]:
                compile(code, str(command), "exec")
            case [script]:
                assert (REPOSITORY / script).is_file(), str(command)
            case _:
                pytest.fail(f"{command}: how is that to be checked?")


def test_scripts_have_the_flags_that_are_shown() -> None:
    for command in of(*SCRIPTS):
        text = (REPOSITORY / command.program).read_text()
        assert all(word in text for word in command.arguments if word.startswith("--")), str(command)


def test_pip_is_given_extras_that_there_are() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    packages = {re.split(r"\W*[<>=]", line)[0] for extra in extras.values() for line in extra}
    for command in [*of("pip"), *in_a_line("pip")]:
        (what,) = command.arguments[1:]
        (named,) = re.findall(r"^\.\[([\w,]+)\]$", what) or [""]
        assert set(named.split(",")) <= extras.keys() if named else what in packages, str(command)


def test_aws_is_asked_what_its_services_take() -> None:
    """By botocore's description of them, from which AWS's command line is made too."""
    session = botocore.session.get_session()
    commands = of("aws")
    assert len(commands) > 5
    for command in commands:
        service, operation, *words = command.arguments
        model = session.get_service_model(service.removesuffix("api"))
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        assert operation in operations, str(command)
        shape = model.operation_model(operations[operation]).input_shape
        given = dict(zip(words[::2], words[1::2], strict=True))
        values: dict[str, Any] = {}
        for name, member in shape.members.items() if shape else ():
            if (value := given.pop(f"--{xform_name(name, '-')}", None)) is not None:
                values[name] = json.loads(value) if member.type_name in ("structure", "list", "map") else value
            elif member.metadata.get("idempotencyToken"):  # which the command line makes
                values[name] = "token"
        assert given.keys() <= {"--query", "--output"}, str(command)
        report = ParamValidator().validate(values, shape) if shape else None
        assert not (report and report.has_errors()), f"{command}: {report.generate_report()}"


SCRIPTS = sorted({command.program for command in COMMANDS if command.program.startswith("tools/")})
CHECKED = {"mxspark", "docker", "spark-submit", "make", "python", "python3", "pip", "aws", *SCRIPTS}


def test_each_command_is_run_or_checked_or_it_is_said_why_not() -> None:
    assert len(COMMANDS) > 90
    left = [str(each) for each in COMMANDS if each.program not in CHECKED and not is_in(ELSEWHERE | UNCHECKED, each)]
    assert left == [], (
        "nothing runs or checks these. What is no command stands in a block ```text. Else write a check of the program "
        "(CHECKED), or a test that takes the command from the page (tests.documentation) and name it in ELSEWHERE; "
        "where neither is possible, say why in UNCHECKED."
    )
    for table in (ELSEWHERE, UNCHECKED):
        for key in table:
            assert any(is_in({key: ""}, command) for command in COMMANDS), f"no page shows {key} any more"
    assert all((REPOSITORY / test).is_file() for test in ELSEWHERE.values())


def test_commands_are_bash_s() -> None:
    text = "".join(block.text for block in BLOCKS if block.language in ("", "bash"))
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# ---- files ----


def test_each_block_says_what_it_is() -> None:
    known = {*SHELL, "python", "yaml", "json", "properties", "text"}
    assert [f"{block}: {block.language}" for block in BLOCKS if block.language not in known] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "python"], ids=str)
def test_code_is_python_and_takes_of_mxspark_what_there_is(block: Block) -> None:
    """It is run by tests/spark/test_session.py and tests/examples/, as far as it needs nothing else."""
    for node in ast.walk(ast.parse(block.text)):
        match node:
            case ast.Attribute(value=ast.Name(id="mxspark"), attr=name):
                assert hasattr(import_module("mxspark"), name), name
            case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] == "mxspark":
                assert all(hasattr(import_module(module), each.name) for each in names)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language == "json"], ids=str)
def test_json_is_some(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.kind == "settings"], ids=str)
def test_settings_files_are_settings(block: Block) -> None:
    given = sources.file_layer(document.read_yaml(filled(block.text), str(block)), str(block))
    sources.effective([sources.file_layer(JOB, "what it leaves out"), given])


def test_the_model_s_file_is_one() -> None:
    (block,) = [block for block in BLOCKS if block.kind == "model"]
    document.parse(ModelSpec, document.read_yaml(block.text.replace("…", 64 * "a"), str(block)), str(block))


def test_what_is_generated_of_it_is_up_to_date() -> None:
    assert [path.name for path, text in generated().items() if path.read_text() != text] == [], "run `make reference`"
