"""Cluster files: valid by Ray's own schema, locked up, and fit to measure."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray._private.label_utils import validate_node_label_syntax
from ray.autoscaler._private.util import prepare_config, validate_config

from frostline.version import __version__

ROOT = Path(__file__).parents[1]
CLUSTERS = ("cluster.yaml", "deploy/gcp.yaml", "deploy/on_premise.yaml")
CLOUDS = CLUSTERS[:2]


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text())


def pinned_ray() -> str:
    (version,) = re.findall(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.M)
    return version


def ray_starts(cluster: dict[str, Any]) -> dict[str, str]:
    return {
        role: next(each for each in cluster[f"{role}_start_ray_commands"] if "ray start" in each)
        for role in ("head", "worker")
    }


@pytest.mark.parametrize("name", CLUSTERS)
def test_ray_takes_the_file(name: str) -> None:
    prepared = prepare_config(read(name))
    validate_config(prepared)
    for node_type in prepared["available_node_types"].values():
        validate_node_label_syntax(node_type.get("labels", {}))


@pytest.mark.parametrize("name", CLUSTERS)
def test_every_node_asks_for_the_token_and_measures_without_niceness(name: str) -> None:
    cluster = read(name)
    starts = ray_starts(cluster)
    for command in starts.values():
        assert "RAY_AUTH_MODE=token" in command
        assert "RAY_worker_niceness=0" in command
    assert "--dashboard-host=127.0.0.1" in starts["head"]
    assert "--autoscaling-config=" in starts["head"]
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    setup = " ".join(cluster["setup_commands"])
    assert "chmod 600 ~/.ray/auth_token" in setup
    assert "-c constraints.txt -e " in setup
    assert "env -u PYTHONDONTWRITEBYTECODE" in setup
    assert "compileall" in setup
    assert cluster["idle_timeout_minutes"] > 0
    assert "0.0.0.0" not in (ROOT / name).read_text()


@pytest.mark.parametrize("name", CLOUDS)
def test_clouds_have_a_head_that_measures_nothing_and_spot_workers_of_two_kinds(name: str) -> None:
    cluster = read(name)
    types = cluster["available_node_types"]
    head = types.pop(cluster["head_node_type"])
    assert head["resources"] == {"CPU": 0}
    assert "spot" not in str(head).lower()
    assert len({node_type["labels"]["frostline/gpu"] for node_type in types.values()}) == 2
    for node_type in types.values():
        assert node_type["min_workers"] == 0
        assert node_type["labels"]["frostline/market"] == "spot"
        assert "spot" in str(node_type["node_config"]).lower()
        assert "NVreg_RestrictProfilingToAdminUsers=0" in node_type["initialization_commands"][0]
    assert cluster["docker"]["image"] == f"rayproject/ray:{pinned_ray()}-py312"
    assert "--gpus all" in cluster["docker"]["worker_run_options"]
    assert any("[gpu]" in each for each in cluster["worker_setup_commands"])


def test_on_aws_metadata_takes_a_token_and_the_security_group_is_the_users() -> None:
    """Ray's own security group would let SSH in from everywhere."""
    for node_type in read("cluster.yaml")["available_node_types"].values():
        assert node_type["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
        assert node_type["node_config"]["SecurityGroupIds"]
        assert node_type["node_config"]["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True


def test_on_aws_the_head_keeps_rays_profile_and_workers_have_a_place_for_one() -> None:
    """Ray's own profile, which it gives to a head without one, may start machines."""
    types = read("cluster.yaml")["available_node_types"]
    assert "IamInstanceProfile" not in types["head"]["node_config"]
    text = (ROOT / "cluster.yaml").read_text()
    offered = yaml.safe_load(text.replace("# IamInstanceProfile:", "IamInstanceProfile:"))
    for name, node_type in offered["available_node_types"].items():
        assert ("IamInstanceProfile" in node_type["node_config"]) == (name != "head")


def test_on_google_cloud_no_node_has_a_public_address() -> None:
    cluster = read("deploy/gcp.yaml")
    assert cluster["provider"]["use_internal_ips"] is True
    assert "start-iap-tunnel" in cluster["auth"]["ssh_proxy_command"]
    for node_type in cluster["available_node_types"].values():
        for interface in node_type["node_config"]["networkInterfaces"]:
            assert "accessConfigs" not in interface


def test_the_ray_job_has_what_a_sweep_on_kubernetes_needs() -> None:
    job, policy = yaml.safe_load_all((ROOT / "deploy/rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    cluster = spec["rayClusterSpec"]
    study = re.fullmatch(r"python -m jobs\.sweep (\S+) --out s3://\S+", spec["entrypoint"].strip())
    assert study is not None
    assert (ROOT / study[1]).is_file()
    runtime = yaml.safe_load(spec["runtimeEnvYAML"])
    assert int(runtime["env_vars"]["RAY_JOB_STOP_WAIT_TIME_S"]) >= 30
    assert spec["shutdownAfterJobFinishes"] is True
    assert cluster["rayVersion"] == pinned_ray()
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"] is True
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert cluster["headGroupSpec"]["serviceType"] == "ClusterIP"
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    selected = policy["spec"]["podSelector"]["matchLabels"]
    for group in groups:
        template = group["template"]
        assert selected.items() <= template["metadata"]["labels"].items()
        (container,) = template["spec"]["containers"]
        environment = {each["name"]: each["value"] for each in container["env"]}
        assert environment["RAY_worker_niceness"] == "0"
        assert not container["securityContext"]["allowPrivilegeEscalation"]
    for group in cluster["workerGroupSpecs"]:
        resources = group["template"]["spec"]["containers"][0]["resources"]
        assert resources["limits"]["nvidia.com/gpu"] == 1
        assert resources["requests"]["cpu"] == resources["limits"]["cpu"]
        assert group["minReplicas"] == 0


def test_the_image_has_the_pinned_ray() -> None:
    text = (ROOT / "deploy/Dockerfile").read_text()
    assert f"FROM rayproject/ray:{pinned_ray()}-py312\n" in text
    copied = re.findall(r"^COPY --chown=\S+ (.+) \S+$", text, re.M)
    assert all((ROOT / name).exists() for line in copied for name in line.split())


def test_every_file_that_names_the_version_names_this_one() -> None:
    named = {
        "CITATION.cff": r"^version: (.+)$",
        "CHANGELOG.md": r"\A# Changelog\n\n## (\S+) ",
        "deploy/Dockerfile": r"REGISTRY/frostline:(\S+)",
        "deploy/rayjob.yaml": r"REGISTRY/frostline:(\S+)",
    }
    for name, pattern in named.items():
        found = re.findall(pattern, (ROOT / name).read_text(), re.M)
        assert found
        assert set(found) == {__version__}
