"""Does k8s/base fit Kubernetes' schemas, and itself? Schemas pass a Service that selects nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import gateway
from gateway.config import Config
from tests.deploy.conftest import Manifest, Tool

MINORS = ("1.34.0", "1.37.0")  # the oldest supported, for preStop sleep, and the newest


def pod_of(workload: Manifest) -> Manifest:
    spec: Manifest = workload["spec"]["template"]["spec"]
    return spec


def containers_of(workloads: Mapping[str, Manifest]) -> Iterator[Manifest]:
    for workload in workloads.values():
        yield from pod_of(workload).get("initContainers", [])
        yield from pod_of(workload)["containers"]


def labels_of(workload: Manifest) -> set[tuple[str, str]]:
    return set(workload["spec"]["template"]["metadata"]["labels"].items())


def selected(workloads: Mapping[str, Manifest], selector: Mapping[str, Any]) -> list[Manifest]:
    """The workloads whose pods a selector (labels, or matchLabels and matchExpressions) takes."""
    plain = "matchLabels" not in selector and "matchExpressions" not in selector
    labels = selector if plain else selector.get("matchLabels", {})
    chosen = [w for w in workloads.values() if set(labels.items()) <= labels_of(w)]
    for expression in selector.get("matchExpressions", []):
        assert expression["operator"] == "In"
        wanted = {(expression["key"], value) for value in expression["values"]}
        chosen = [w for w in chosen if wanted & labels_of(w)]
    return chosen


def of_kind(manifests: Sequence[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def port_names(workload: Manifest) -> dict[str, int]:
    return {
        p["name"]: p["containerPort"] for c in pod_of(workload)["containers"] for p in c["ports"]
    }


@pytest.mark.parametrize("minor", MINORS)
def test_every_object_fits_the_strict_schemas(
    minor: str, rendered: str, tool: Tool, tmp_path: Path
) -> None:
    file = tmp_path / "rendered.yaml"
    file.write_text(rendered, encoding="utf-8")
    tool("kubernetes-validate", "--strict", "--quiet", "-k", minor, str(file))


def test_every_object_is_in_the_namespace_and_labelled(manifests: Sequence[Manifest]) -> None:
    for manifest in manifests:
        assert manifest["metadata"]["labels"]["app.kubernetes.io/part-of"] == "tandem"
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == "tandem"


def test_deployments_select_their_own_pods_and_no_others(workloads: Mapping[str, Manifest]) -> None:
    for workload in workloads.values():
        assert selected(workloads, workload["spec"]["selector"]) == [workload]


def test_services_reach_ports_that_their_pods_have(
    manifests: Sequence[Manifest], workloads: Mapping[str, Manifest]
) -> None:
    for service in of_kind(manifests, "Service"):
        (workload,) = selected(workloads, service["spec"]["selector"])
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in port_names(workload), service["metadata"]["name"]
            # Headless services and readers of the manual alike dial the pod's own number.
            assert port["port"] == port_names(workload)[port["targetPort"]]


def test_admin_is_in_no_service(manifests: Sequence[Manifest]) -> None:
    ports = [p["name"] for s in of_kind(manifests, "Service") for p in s["spec"]["ports"]]
    assert "admin" not in ports


def test_grpc_backends_are_headless_and_named_as_the_gateway_dials_them(
    manifests: Sequence[Manifest], tandem_toml: Config
) -> None:
    headless = {
        f"dns:///{service['metadata']['name']}:{service['spec']['ports'][0]['port']}"
        for service in of_kind(manifests, "Service")
        if service["spec"].get("clusterIP") == "None"
    }
    assert {backend.address for backend in tandem_toml.backends.values()} == headless


def test_everything_a_pod_names_exists(
    manifests: Sequence[Manifest], workloads: Mapping[str, Manifest]
) -> None:
    known = {(m["kind"], m["metadata"]["name"]) for m in manifests}
    for workload in workloads.values():
        pod = pod_of(workload)
        assert ("ServiceAccount", pod["serviceAccountName"]) in known
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for volume in volumes.values():
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in known
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]
                assert ("PersistentVolumeClaim", claim["claimName"]) in known
                assert claim["readOnly"] is True
        for container in pod["containers"]:
            for mount in container.get("volumeMounts", []):
                assert mount["name"] in volumes
                assert "subPath" not in mount, "a subPath never sees its ConfigMap change"


def test_probes_ask_ports_that_exist_and_differ_in_what_they_ask(
    workloads: Mapping[str, Manifest],
) -> None:
    for container in containers_of(workloads):
        ports = {port["name"] for port in container["ports"]}
        probes = [container[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
        asked = [probe.get("httpGet") or probe["tcpSocket"] for probe in probes]
        assert {ask["port"] for ask in asked} <= ports
        assert asked[1] != asked[2], "a pod that is only not ready must not be restarted"


def test_pods_are_given_longer_to_end_than_their_requests_may_take(
    workloads: Mapping[str, Manifest], tandem_toml: Config
) -> None:
    limits = tandem_toml.limits
    assert limits.drain_timeout_s >= limits.max_timeout_s
    for workload in workloads.values():
        (container,) = pod_of(workload)["containers"]
        notice_s = container["lifecycle"]["preStop"]["sleep"]["seconds"] + limits.drain_notice_s
        wanted_s = notice_s + limits.max_timeout_s + 5
        assert pod_of(workload)["terminationGracePeriodSeconds"] >= wanted_s


def test_budgets_never_block_a_drain(
    manifests: Sequence[Manifest], workloads: Mapping[str, Manifest]
) -> None:
    for budget in of_kind(manifests, "PodDisruptionBudget"):
        (workload,) = selected(workloads, budget["spec"]["selector"])
        assert budget["spec"]["minAvailable"] < workload["spec"]["replicas"]


def test_pods_are_restricted(workloads: Mapping[str, Manifest]) -> None:
    for workload in workloads.values():
        pod = pod_of(workload)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] >= 10000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPath" in volume for volume in pod["volumes"])
    for container in containers_of(workloads):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_containers_say_what_they_need_and_never_ask_for_more_than_they_may_have(
    workloads: Mapping[str, Manifest],
) -> None:
    for container in containers_of(workloads):
        requests, limits = container["resources"]["requests"], container["resources"]["limits"]
        assert {"cpu", "memory"} <= set(requests)
        assert _mebibytes(requests["memory"]) <= _mebibytes(limits["memory"])
        assert limits.get("cpu", requests["cpu"]) == requests["cpu"]


def _mebibytes(quantity: str) -> int:
    units = {"Mi": 1, "Gi": 1024}
    return int(quantity[:-2]) * units[quantity[-2:]]


def test_our_images_are_of_this_version_and_none_is_latest(
    workloads: Mapping[str, Manifest],
) -> None:
    for container in containers_of(workloads):
        name, _, tag = container["image"].partition(":")
        assert tag not in {"", "latest"}
        if name.startswith("tandem/"):
            assert tag == gateway.__version__


def test_every_pod_is_denied_by_default_and_then_allowed_by_name(
    manifests: Sequence[Manifest], workloads: Mapping[str, Manifest]
) -> None:
    policies = of_kind(manifests, "NetworkPolicy")
    (default,) = [p["spec"] for p in policies if not p["spec"]["podSelector"]]
    assert default == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    reached: list[str] = []
    for policy in policies:
        chosen = selected(workloads, policy["spec"]["podSelector"])
        for rule in policy["spec"].get("ingress", []):
            assert chosen
            reached += [w["metadata"]["name"] for w in chosen]
            names = {port["port"] for port in rule["ports"]}
            assert all(names <= set(port_names(workload)) for workload in chosen)
    assert set(reached) == set(workloads)


def test_the_gateway_may_call_its_backends_and_dns_and_nothing_else(
    manifests: Sequence[Manifest], workloads: Mapping[str, Manifest]
) -> None:
    policies = {p["metadata"]["name"]: p["spec"] for p in of_kind(manifests, "NetworkPolicy")}
    assert "egress" not in policies["backends"]
    called = set()
    for rule in policies["gateway"]["egress"]:
        for peer in rule["to"]:
            if "namespaceSelector" in peer:
                assert {port["port"] for port in rule["ports"]} == {53}
                continue
            (workload,) = selected(workloads, peer["podSelector"])
            assert [port["port"] for port in rule["ports"]] == [port_names(workload)["grpc"]]
            called.add(workload["metadata"]["name"])
    assert called == {"tf-serving", "torch-server"}
