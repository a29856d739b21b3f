"""What targets write: by their schemas, and as it was reviewed."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import kubernetes_validate
import msgspec
import pytest
import yaml

import onward as ow
import workloads
from onward.core.errors import DeclarationError
from onward.core.records import Routes
from onward.stages.deploy.adapters.compose import ComposeTarget
from onward.stages.deploy.adapters.helm import HelmTarget
from onward.stages.deploy.adapters.kserve import KServeTarget
from onward.stages.deploy.adapters.kubernetes import KubernetesTarget
from onward.stages.deploy.adapters.ray_serve import DEPLOYMENT, IMPORT_PATH, RayServeTarget
from onward.stages.serve.gateway.settings import GatewayConfig
from workloads import EVERYTHING, workload

HERE = Path(__file__).parent
TARGETS = {
    "kubernetes": KubernetesTarget(),
    "helm": HelmTarget(),
    "kserve": KServeTarget(),
    "compose": ComposeTarget(),
}
BY_REQUESTS = {"scale_at_requests": 200, "prometheus": "http://prometheus:9090"}
VARIANTS = {
    "plain": {"candidate": False},
    "everything": {**EVERYTHING, "egress": (6379,)},
    "by requests": {**EVERYTHING, **BY_REQUESTS, "gpu": 2},
}


def schema(name):
    return json.loads((HERE / "schemas" / f"{name}.json").read_text())


def required(found):
    """Hold a resource to its schema: Kubernetes' own, or its definition's."""
    if found["kind"] == "ScaledObject":
        jsonschema.validate(found, schema("keda-scaledobject"))
    elif found["kind"] == "InferenceService":
        jsonschema.validate(found, schema("kserve-inferenceservice"))
    else:
        for version in ("1.30", "1.37"):
            kubernetes_validate.validate(found, version, strict=True)


def resources(files):
    return {name: yaml.safe_load(text) for name, text in files.items()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_manifests_are_valid(variant):
    found = resources(KubernetesTarget().render(workload(**VARIANTS[variant])))
    for resource in found.values():
        required(resource)
    kinds = {resource["kind"] for resource in found.values()}
    assert {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy", "ConfigMap"} <= kinds
    assert ("HorizontalPodAutoscaler" in kinds) == (variant == "everything")
    assert ("ScaledObject" in kinds) == (variant == "by requests")
    assert ("PersistentVolumeClaim" in kinds) == (variant != "plain")


def test_the_schemas_refuse_what_is_wrong():
    found = resources(KubernetesTarget().render(workload(**EVERYTHING, **BY_REQUESTS)))
    found["deployment.yaml"]["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    with pytest.raises(kubernetes_validate.ValidationError):
        required(found["deployment.yaml"])
    found["scaling.yaml"]["spec"]["minReplicaCount"] = "three"
    with pytest.raises(jsonschema.ValidationError):
        required(found["scaling.yaml"])


def test_a_pod_is_confined_asked_and_given_what_was_declared():
    files = KubernetesTarget().render(workload(**EVERYTHING))
    pod = resources(files)["deployment.yaml"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    for container in [*pod["initContainers"], *pod["containers"]]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    [gateway] = pod["containers"]
    assert gateway["resources"]["limits"] == {"memory": "4Gi", "nvidia.com/mig-1g.10gb": 1}
    assert gateway["readinessProbe"]["httpGet"]["path"] == "/v2/models/order_return/ready"
    assert [t["key"] for t in pod["tolerations"]] == ["nvidia.com/gpu", "example/spot"]
    mounted = {mount["name"] for mount in gateway["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    assert [c["image"] for c in pod["initContainers"]] == [a.image for a in workload().arms]


def test_a_pod_that_ends_waits_until_nobody_comes():
    pod = resources(KubernetesTarget().render(workload()))["deployment.yaml"]["spec"]["template"]
    [gateway] = pod["spec"]["containers"]
    [*_, code] = gateway["lifecycle"]["preStop"]["exec"]["command"]
    waits = float(re.search(r"sleep\((\d+)\)", code)[1])
    assert (
        3
        <= waits
        < pod["spec"]["terminationGracePeriodSeconds"]
        - GatewayConfig(state="", model="").drain_s
        - 3
    )


@pytest.mark.parametrize("target", ["kubernetes", "kserve", "compose"])
def test_a_gateway_that_is_told_something_else_starts_anew(target):
    """A file that is mounted by itself stays as it was for who has it mounted."""
    one, other = (
        TARGETS[target].render(replace(workload(), config={**workload().config, **more}))
        for more in ({}, {"drain_s": 9.0})
    )
    container = {"kubernetes": "deployment.yaml", "kserve": "inference-service.yaml"}
    assert (
        one[container.get(target, "compose.yaml")] != other[container.get(target, "compose.yaml")]
    )


def test_a_long_name_is_one_that_dns_allows():
    traffic = replace(workload().traffic, model="a" * 49 + "_b")
    assert replace(workload(), traffic=traffic).name == "a" * 49


def test_a_step_of_the_canary_changes_the_routes_alone():
    before = workload(namespace="shop")
    share = workloads.arm("champion", 1, 50.0), workloads.arm("candidate", 2, 50.0)
    one = KubernetesTarget().render(before)
    other = KubernetesTarget().render(replace(before, arms=share))
    assert [name for name in one if one[name] != other[name]] == ["routes.yaml"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gateway_understands_what_it_is_told(variant):
    found = resources(KubernetesTarget().render(workload(**VARIANTS[variant])))
    told = found["gateway.yaml"]["data"]["gateway.json"]
    config = msgspec.json.decode(told, type=GatewayConfig)
    assert (config.routes, config.port) == ("/etc/onward/routes", 8080)
    routes = msgspec.json.decode(found["routes.yaml"]["data"]["order_return.json"], type=Routes)
    assert sum(route.percent for route in routes.routes) == 100
    assert routes.routes[0].image.layout == "/models/1"
    copied = found["deployment.yaml"]["spec"]["template"]["spec"]["initContainers"]
    assert [c["command"][-1] for c in copied] == [r.image.layout for r in routes.routes]


def test_an_inference_service_is_valid_and_has_the_canarys_share():
    wants = {**EVERYTHING, "log": None}
    for found in resources(KServeTarget().render(workload(**wants))).values():
        required(found)
    predictor = found["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 10
    assert predictor["containers"][0]["image"].startswith("registry.example/shop/order_return:2@")
    alone = resources(KServeTarget().render(workload(candidate=False)))
    assert "canaryTrafficPercent" not in alone["inference-service.yaml"]["spec"]["predictor"]
    config = msgspec.json.decode(alone["gateway.yaml"]["data"]["gateway.json"], type=GatewayConfig)
    assert config.model == "/opt/onward"
    with pytest.raises(DeclarationError, match="do not share a volume"):
        KServeTarget().render(workload(log="1Gi"))
    three = replace(workload(), arms=(*workload().arms, workloads.arm("other", 3, 0.0)))
    with pytest.raises(DeclarationError, match="between two revisions, not 3"):
        KServeTarget().render(three)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_compose_file_is_valid(variant):
    files = ComposeTarget().render(workload(**VARIANTS[variant]))
    found = yaml.safe_load(files["compose.yaml"])
    jsonschema.Draft7Validator(schema("compose")).validate(found)
    gateway = found["services"]["gateway"]
    assert gateway["read_only"]
    assert set(gateway["depends_on"]) == set(found["services"]) - {"gateway"}
    assert ("deploy" in gateway) == (variant != "plain")
    assert gateway["mem_limit"] in ("1g", "4g")
    mounted = {v["source"] for v in gateway["volumes"]}
    assert {"./gateway.json", "./routes"} <= mounted


@pytest.mark.parametrize("target", TARGETS)
def test_files_are_as_they_were_reviewed(target, request):
    wants = {**EVERYTHING, "log": None} if target == "kserve" else EVERYTHING
    files = TARGETS[target].render(workload(**wants, egress=(6379,)))
    golden = HERE / "golden" / target
    expected = {
        path.relative_to(golden).as_posix(): path.read_text()
        for path in golden.rglob("*")
        if path.is_file()
    }
    assert files == expected, "if it is meant: write them anew, and read the difference"


@pytest.mark.parametrize(
    ("wrong", "what"),
    [
        ({"replicas": 0}, "0 to 0 replicas"),
        ({"replicas": 3, "max_replicas": 2}, "3 to 2 replicas"),
        ({"memory": "much"}, "memory is 'much'"),
        ({"log": "20 GB"}, "log is '20 GB'"),
        ({"gpu": 0}, "gpu is 0"),
        ({"gpu": "half"}, "gpu is 'half'"),
        ({"scale_at_requests": 10}, "scale_at_requests is 10 with prometheus None"),
        ({"scale_at_requests": 0, "prometheus": "http://p"}, "scale_at_requests is 0"),
    ],
)
def test_what_no_cluster_could_do_is_refused_where_it_is_declared(wrong, what):
    with pytest.raises(DeclarationError, match=re.escape(what)) as refused:
        ow.Kubernetes(**wrong)
    assert refused.value.location.file == __file__


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_serve_config_is_as_ray_has_it(variant):
    from ray.serve.schema import ServeDeploySchema

    wanted = workload(**{**VARIANTS[variant], "gpu": None, "cpu": "1500m"})
    [text] = RayServeTarget().render(wanted).values()
    read = ServeDeploySchema.model_validate(yaml.safe_load(text))
    [application] = read.applications
    [deployment] = application.deployments
    assert (application.name, application.import_path) == ("order-return", IMPORT_PATH)
    options = deployment.ray_actor_options
    assert options.num_cpus == 1.5
    assert options.memory == (1 if variant == "plain" else 4) << 30
    if variant == "plain":
        assert deployment.num_replicas == 2
    else:
        assert deployment.autoscaling_config["min_replicas"] == 3
        assert deployment.autoscaling_config["max_replicas"] == 12
    wrong = yaml.safe_load(text.replace("max_ongoing_requests: 1024", "max_ongoing_requests: many"))
    with pytest.raises(ValueError, match="max_ongoing_requests"):
        ServeDeploySchema.model_validate(wrong)


def test_the_application_names_its_deployment_as_the_serve_config_does():
    from onward.stages.serve.adapters.ray_serve import application

    built = application({"gateway": {"state": "s", "routes": "r"}})
    assert built._bound_deployment.name == DEPLOYMENT


def test_ray_gives_out_whole_gpus():
    [text] = RayServeTarget().render(workload(gpu=2)).values()
    [deployment] = yaml.safe_load(text)["applications"][0]["deployments"]
    assert deployment["ray_actor_options"]["num_gpus"] == 2
    with pytest.raises(DeclarationError, match="no slice 'mig-1g"):
        RayServeTarget().render(workload(gpu="mig-1g.10gb"))
