"""The Helm chart, rendered by Helm's own engine and held against the schemas of Kubernetes.

    pip install -r tests/charts/requirements.txt
    pytest tests/charts
"""

import os
import shutil
import subprocess
from pathlib import Path

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "portcullis"
PARENT = ROOT / "tests" / "charts" / "parent"
DEMO = ROOT / "config" / "demo"

OLDEST_KUBERNETES = "1.30"
NEWEST_KUBERNETES = "1.37"
DRAIN_SECONDS = 30

EVERYTHING = {
    "image": {"repository": "registry.acme.example/portcullis", "digest": "sha256:" + "0" * 64},
    "config": {
        "listen": [{"address": "0.0.0.0:8443"}, {"address": "[::]:8080"}],
        "telemetry": {"address": "[::]:9100"},
    },
    "policy": {
        "model": (DEMO / "model.fga").read_text(),
        "tuples": (DEMO / "tuples.yaml").read_text(),
    },
    "ports": {"data": 8443, "telemetry": 9100, "extra": [{"name": "decision", "port": 9901}]},
    "secrets": [
        {"name": "tls", "existingSecret": "edge-tls"},
        {"name": "keys", "existingSecret": "edge-keys"},
    ],
    "env": [{"name": "SSL_CERT_DIR", "value": "/etc/ssl"}],
    "extraVolumes": [{"name": "workload", "csi": {"driver": "csi.spiffe.io", "readOnly": True}}],
    "extraVolumeMounts": [{"name": "workload", "mountPath": "/run/spiffe", "readOnly": True}],
    "gateway": {
        "replicas": 3,
        "podAnnotations": {"acme.example/team": "edge"},
        "podLabels": {"acme.example/tier": "edge"},
        "imagePullSecrets": [{"name": "registry"}],
        "priorityClassName": "edge",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "edge", "operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "edge", "operator": "Exists"}]}
                    ]
                }
            }
        },
    },
    "serviceAccount": {"annotations": {"acme.example/team": "edge"}},
    "service": {
        "type": "LoadBalancer",
        "port": 443,
        "annotations": {"acme.example/zone": "a"},
        "loadBalancerClass": "acme.example/internal",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "podDisruptionBudget": {"maxUnavailable": None, "minAvailable": "50%"},
    "networkPolicy": {
        "telemetry": [{"namespaceSelector": {"matchLabels": {"team": "monitoring"}}}],
        "egress": [{"to": [{"podSelector": {}}]}],
    },
}

EXISTING_CONFIG_MAP = {
    "existingConfigMap": "crm-policy",
    "ports": {"data": 8081, "telemetry": 9903},
}

NOTHING_OPTIONAL = {
    "policy": {"model": "", "tuples": ""},
    "gateway": {"preStopSleepSeconds": 0, "topologySpreadConstraints": []},
    "serviceAccount": {"create": False},
    "podDisruptionBudget": {"enabled": False},
    "networkPolicy": {"enabled": False},
}

VALUES = {
    "default": {},
    "everything": EVERYTHING,
    "existing config map": EXISTING_CONFIG_MAP,
    "nothing optional": NOTHING_OPTIONAL,
}


def render(values=None, chart=CHART):
    with helm.Chart.load(chart) as loaded:
        files = loaded.render(values or {}, name="edge", namespace="agents")
    documents = [
        document
        for path, text in sorted(files.items())
        if path.endswith(".yaml")
        for document in yaml.safe_load_all(text)
        if document
    ]
    return Manifests(documents)


class Manifests(list):
    def of(self, kind, name=None):
        found = [
            document
            for document in self
            if document["kind"] == kind and name in (None, document["metadata"]["name"])
        ]
        assert len(found) == 1, f"{len(found)} of {kind} {name or ''}"
        return found[0]

    def kinds(self):
        return sorted(document["kind"] for document in self)

    def pod(self):
        return self.of("Deployment")["spec"]["template"]

    def portcullis(self):
        spec = self.pod()["spec"]
        containers = spec["containers"] + spec.get("initContainers", [])
        (container,) = [each for each in containers if each["name"] == "portcullis"]
        return container


@pytest.fixture(scope="session")
def parent(tmp_path_factory):
    """The example parent with the chart as its dependency, as `helm dependency build` leaves it."""
    directory = tmp_path_factory.mktemp("charts") / "parent"
    shutil.copytree(PARENT, directory)
    shutil.copytree(CHART, directory / "charts" / "portcullis")
    return directory


@pytest.fixture
def sidecar(parent):
    return render(chart=parent)


@pytest.fixture(params=[*VALUES, "sidecar"])
def manifests(request):
    """Every way to install the chart."""
    if request.param == "sidecar":
        return request.getfixturevalue("sidecar")
    return render(VALUES[request.param])


@pytest.fixture(params=VALUES)
def gateway(request):
    """Every way to install the chart as a gateway."""
    return render(VALUES[request.param])


def selects(selector, labels):
    return selector.items() <= labels.items()


def container_ports(container):
    return {port["name"]: port["containerPort"] for port in container["ports"]}


def refusal(values):
    with pytest.raises(helm.HelmError) as refused:
        render(values)
    return str(refused.value)


# What Helm and Kubernetes say


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_chart_has_nothing_to_lint(values):
    report = helm.lint(CHART, values, strict=True)
    warnings = [message for message in report["messages"] if message["severity"] > 1]
    assert report["errors"] == [] and warnings == []


def test_the_parent_has_nothing_to_lint(parent):
    report = helm.lint(parent, strict=True, with_subcharts=True)
    warnings = [message for message in report["messages"] if message["severity"] > 1]
    assert report["errors"] == [] and warnings == []


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, NEWEST_KUBERNETES])
def test_every_manifest_is_valid_kubernetes(manifests, version):
    for document in manifests:
        if document["kind"] != "ServiceMonitor":
            kubernetes_validate.validate(document, version, strict=True)


def test_the_validator_would_notice_an_unknown_field():
    service_account = render().of("ServiceAccount") | {"token": "none"}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service_account, NEWEST_KUBERNETES, strict=True)


def test_the_chart_asks_for_the_oldest_kubernetes_that_is_tested():
    with helm.Chart.load(CHART) as chart:
        assert chart.metadata["kubeVersion"] == f">={OLDEST_KUBERNETES}.0-0"


def test_no_two_manifests_share_kind_and_name(manifests):
    names = [(document["kind"], document["metadata"]["name"]) for document in manifests]
    assert len(names) == len(set(names))


def test_every_manifest_names_the_namespace_of_the_release(manifests):
    assert {document["metadata"]["namespace"] for document in manifests} == {"agents"}


def test_the_default_is_a_gateway_without_custom_resources():
    assert render().kinds() == [
        "ConfigMap",
        "Deployment",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "Service",
        "ServiceAccount",
    ]


def test_what_is_off_is_not_rendered():
    assert render(NOTHING_OPTIONAL).kinds() == ["ConfigMap", "Deployment", "Service", "Service"]


# Security of the pods


def test_portcullis_is_not_root_and_cannot_become_root(manifests):
    context = manifests.portcullis()["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["runAsGroup"] == 65532
    assert context["allowPrivilegeEscalation"] is False
    assert context["privileged"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_portcullis_writes_nowhere_but_to_its_state(manifests):
    container = manifests.portcullis()
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    writable = [each for each in container["volumeMounts"] if not each.get("readOnly")]
    assert [each["mountPath"] for each in writable] == ["/var/lib/portcullis"]


def test_nothing_is_mounted_by_sub_path(manifests):
    for mount in manifests.portcullis()["volumeMounts"]:
        assert "subPath" not in mount and "subPathExpr" not in mount


def test_every_mount_has_its_volume(manifests):
    volumes = [volume["name"] for volume in manifests.pod()["spec"]["volumes"]]
    mounts = [mount["name"] for mount in manifests.portcullis()["volumeMounts"]]
    assert len(volumes) == len(set(volumes))
    assert set(mounts) == set(volumes)


def test_no_mount_lies_inside_another(manifests):
    paths = [Path(mount["mountPath"]) for mount in manifests.portcullis()["volumeMounts"]]
    assert not any(other in path.parents for path in paths for other in paths)


def test_no_service_account_token_is_mounted(gateway):
    assert gateway.pod()["spec"]["automountServiceAccountToken"] is False
    for document in gateway:
        if document["kind"] == "ServiceAccount":
            assert document["automountServiceAccountToken"] is False


def test_the_gateways_pods_meet_the_restricted_standard(gateway):
    spec = gateway.pod()["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not any(spec.get(each) for each in ("hostNetwork", "hostPID", "hostIPC"))
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "emptyDir", "secret", "csi"}


def test_secrets_come_from_outside_and_are_mounted_read_only():
    manifests = render(EVERYTHING)
    assert "Secret" not in manifests.kinds()
    volumes = {each["name"]: each for each in manifests.pod()["spec"]["volumes"]}
    mounts = {each["name"]: each for each in manifests.portcullis()["volumeMounts"]}
    assert volumes["portcullis-secret-tls"]["secret"]["secretName"] == "edge-tls"
    assert mounts["portcullis-secret-tls"]["mountPath"] == "/etc/portcullis-secrets/tls"
    assert mounts["portcullis-secret-tls"]["readOnly"] is True


def test_a_secret_is_readable_without_an_fs_group():
    # The sidecar cannot set the fsGroup of somebody else's pod.
    for volume in render(EVERYTHING).pod()["spec"]["volumes"]:
        if "secret" in volume:
            assert volume["secret"]["defaultMode"] == 0o444


# Life of the pods


def test_memory_and_cpu_are_requested_and_memory_is_limited(manifests):
    resources = manifests.portcullis()["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert "memory" in resources["limits"]


def test_probes_ask_the_telemetry_listener(manifests):
    container = manifests.portcullis()
    asked = {
        probe: (container[probe]["httpGet"]["path"], container[probe]["httpGet"]["port"])
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert asked == {
        "startupProbe": ("/livez", "telemetry"),
        "livenessProbe": ("/livez", "telemetry"),
        "readinessProbe": ("/readyz", "telemetry"),
    }


def test_there_is_time_to_drain(manifests):
    hook = manifests.portcullis().get("lifecycle", {}).get("preStop", {"sleep": {"seconds": 0}})
    grace = manifests.pod()["spec"]["terminationGracePeriodSeconds"]
    assert grace > hook["sleep"]["seconds"] + DRAIN_SECONDS


def test_too_little_time_to_drain_is_refused():
    values = {"gateway": {"preStopSleepSeconds": 20, "terminationGracePeriodSeconds": 50}}
    assert "drain timeout" in refusal(values)


@pytest.mark.parametrize("drain", ["120s", "2m", "119500ms", "2 minutes"])
def test_the_time_to_drain_is_what_the_configuration_says(drain):
    values = {"config": {"timeouts": {"drain": drain}}}
    assert "drain timeout (120 s)" in refusal(values)
    render({**values, "gateway": {"terminationGracePeriodSeconds": 150}})
    assert "whole seconds or minutes" in refusal({"config": {"timeouts": {"drain": "1m 30s"}}})


def test_a_new_policy_does_not_restart_the_pods():
    empty = render().of("Deployment")
    demo = render({"policy": EVERYTHING["policy"]}).of("Deployment")
    assert empty == demo


def test_an_update_never_takes_a_ready_pod_away_first():
    strategy = render().of("Deployment")["spec"]["strategy"]
    assert strategy["rollingUpdate"]["maxUnavailable"] == 0


# Configuration


def test_portcullis_runs_with_the_configuration_that_is_mounted(manifests):
    container = manifests.portcullis()
    assert container["args"] == ["run", "--config", "/etc/portcullis/portcullis.yaml"]
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    volumes = {each["name"]: each for each in manifests.pod()["spec"]["volumes"]}
    name = volumes[mounts["/etc/portcullis"]]["configMap"]["name"]
    if name != EXISTING_CONFIG_MAP["existingConfigMap"]:
        assert "portcullis.yaml" in manifests.of("ConfigMap", name)["data"]


def test_the_default_configuration_has_no_routes_and_all_its_files():
    data = render().of("ConfigMap")["data"]
    config = yaml.safe_load(data["portcullis.yaml"])
    assert config == {
        "listen": [{"address": "0.0.0.0:8080"}],
        "telemetry": {"address": "0.0.0.0:9902"},
        "policy": {"source": {"file": {"model": "model.fga", "tuples": "tuples.yaml"}}},
    }
    assert set(config["policy"]["source"]["file"].values()) <= data.keys()
    assert yaml.safe_load(data["tuples.yaml"]) == []


def test_policy_files_arrive_as_they_were():
    data = render(EVERYTHING).of("ConfigMap")["data"]
    assert data["model.fga"] == EVERYTHING["policy"]["model"]
    assert data["tuples.yaml"] == EVERYTHING["policy"]["tuples"]


@pytest.mark.parametrize("text", ["  indented\n", "\n\nlate", "tab\there", "a: 'b' # \"c\"\n\n\n"])
def test_a_policy_file_of_any_shape_arrives_as_it_was(text):
    assert render({"policy": {"model": text}}).of("ConfigMap")["data"]["model.fga"] == text


def test_an_empty_policy_file_is_left_out():
    assert render(NOTHING_OPTIONAL).of("ConfigMap")["data"].keys() == {"portcullis.yaml"}


def test_another_source_can_replace_the_files():
    source = {"file": None, "nats": {"url": "nats://nats:4222"}}
    data = render({"config": {"policy": {"source": source}}}).of("ConfigMap")["data"]
    rendered = yaml.safe_load(data["portcullis.yaml"])["policy"]["source"]
    assert rendered == {"nats": {"url": "nats://nats:4222"}}


def test_an_existing_config_map_is_used_in_place_of_a_new_one():
    manifests = render(EXISTING_CONFIG_MAP)
    assert "ConfigMap" not in manifests.kinds()
    volumes = {each["name"]: each for each in manifests.pod()["spec"]["volumes"]}
    assert volumes["portcullis-config"]["configMap"] == {"name": "crm-policy"}
    assert container_ports(manifests.portcullis()) == EXISTING_CONFIG_MAP["ports"]


# Network


def test_the_services_lead_to_ports_of_the_gateways_pods(gateway):
    pod = gateway.pod()["metadata"]["labels"]
    ports = container_ports(gateway.portcullis())
    services = [document for document in gateway if document["kind"] == "Service"]
    assert len(services) == 2
    for service in services:
        assert selects(service["spec"]["selector"], pod)
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports


def test_the_container_ports_are_those_of_the_listeners():
    for values in ({}, EVERYTHING):
        manifests = render(values)
        config = yaml.safe_load(manifests.of("ConfigMap")["data"]["portcullis.yaml"])
        ports = container_ports(manifests.portcullis())
        assert config["listen"][0]["address"].endswith(f":{ports['data']}")
        assert config["telemetry"]["address"].endswith(f":{ports['telemetry']}")


def test_telemetry_is_not_on_the_service_of_the_data_port():
    manifests = render(EVERYTHING)
    data = manifests.of("Service", "edge-portcullis")["spec"]
    telemetry = manifests.of("Service", "edge-portcullis-telemetry")["spec"]
    assert [port["name"] for port in data["ports"]] == ["data", "decision"]
    assert data["ports"][0]["port"] == 443
    assert [port["name"] for port in telemetry["ports"]] == ["telemetry"]
    assert (data["type"], telemetry["type"]) == ("LoadBalancer", "ClusterIP")


def test_the_service_monitor_finds_the_telemetry_service_and_no_other():
    manifests = render(EVERYTHING)
    monitor = manifests.of("ServiceMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"].keys() == {"selector", "endpoints"}
    found = [
        document
        for document in manifests
        if document["kind"] == "Service"
        and selects(monitor["spec"]["selector"]["matchLabels"], document["metadata"]["labels"])
    ]
    assert [document["metadata"]["name"] for document in found] == ["edge-portcullis-telemetry"]
    assert monitor["spec"]["endpoints"] == [
        {
            "port": found[0]["spec"]["ports"][0]["name"],
            "path": "/metrics",
            "interval": "30s",
            "scrapeTimeout": "10s",
        }
    ]


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["default", "everything"])
def test_budget_policy_spread_and_deployment_select_the_gateways_pods(values):
    manifests = render(values)
    pod = manifests.pod()
    (spread,) = pod["spec"]["topologySpreadConstraints"]
    selectors = [
        manifests.of("Deployment")["spec"]["selector"],
        manifests.of("PodDisruptionBudget")["spec"]["selector"],
        manifests.of("NetworkPolicy")["spec"]["podSelector"],
        spread["labelSelector"],
    ]
    for selector in selectors:
        assert selector == selectors[0]
        assert selector["matchLabels"] and selects(selector["matchLabels"], pod["metadata"]["labels"])


def test_a_spread_constraint_keeps_the_selector_it_brings():
    own = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"acme.example/tier": "edge"}},
    }
    manifests = render({"gateway": {"topologySpreadConstraints": [own]}})
    assert manifests.pod()["spec"]["topologySpreadConstraints"] == [own]


def test_the_budget_has_one_bound():
    assert render().of("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    budget = render(EVERYTHING).of("PodDisruptionBudget")["spec"]
    assert budget["minAvailable"] == "50%" and "maxUnavailable" not in budget
    both = {"podDisruptionBudget": {"minAvailable": 0}}
    assert "one of minAvailable and maxUnavailable" in refusal(both)


def test_by_default_the_namespace_reaches_the_data_port_and_nobody_telemetry():
    spec = render().of("NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"] == [
        {"from": [{"podSelector": {}}], "ports": [{"port": 8080, "protocol": "TCP"}]}
    ]


def test_a_port_without_peers_admits_nobody():
    spec = render({"networkPolicy": {"data": []}}).of("NetworkPolicy")["spec"]
    assert spec["ingress"] == []


def test_no_rule_of_the_network_policy_admits_everybody():
    spec = render(EVERYTHING).of("NetworkPolicy")["spec"]
    admitted = {port["port"]: rule["from"] for rule in spec["ingress"] for port in rule["ports"]}
    assert admitted.keys() == {8443, 9901, 9100}
    assert all(admitted.values())
    assert admitted[9100] == EVERYTHING["networkPolicy"]["telemetry"]


def test_egress_is_restricted_only_if_it_is_written():
    restricted = render(EVERYTHING).of("NetworkPolicy")["spec"]
    assert restricted["policyTypes"] == ["Ingress", "Egress"]
    assert restricted["egress"] == EVERYTHING["networkPolicy"]["egress"]
    closed = render({"networkPolicy": {"egress": []}}).of("NetworkPolicy")["spec"]
    assert closed["policyTypes"] == ["Ingress", "Egress"] and closed["egress"] == []


# The sidecar


def test_the_sidecar_is_native(sidecar):
    (container,) = sidecar.pod()["spec"]["initContainers"]
    assert container["name"] == "portcullis"
    assert container["restartPolicy"] == "Always"


def test_a_gateways_container_has_no_restart_policy_of_its_own():
    assert "restartPolicy" not in render().portcullis()


def test_the_parent_gets_a_config_map_and_no_gateway(sidecar):
    assert sidecar.kinds() == ["ConfigMap", "Deployment"]
    assert sidecar.of("Deployment")["metadata"]["name"] == "edge"


def test_the_sidecar_listens_where_the_parent_says(sidecar):
    config = yaml.safe_load(sidecar.of("ConfigMap")["data"]["portcullis.yaml"])
    assert config["listen"] == [{"address": "127.0.0.1:8080"}]
    assert config["telemetry"] == {"address": "0.0.0.0:9902"}
    assert [route["path"] for route in config["routes"]] == ["/crm/v1/accounts/{account}"]


def test_the_sidecars_files_are_not_mounted_into_the_agent(sidecar):
    (agent,) = sidecar.pod()["spec"]["containers"]
    assert agent["name"] == "agent" and "volumeMounts" not in agent


def test_the_sidecar_and_the_gateway_are_the_same_container(sidecar):
    gateway = render().portcullis()
    ours = sidecar.portcullis()
    del gateway["lifecycle"], ours["restartPolicy"]
    assert ours == gateway


def test_the_sidecar_takes_an_existing_config_map_and_secrets(parent):
    values = {
        "existingConfigMap": "crm-policy",
        "secrets": [{"name": "tls", "existingSecret": "crm-tls"}],
    }
    manifests = render({"portcullis": values}, chart=parent)
    assert manifests.kinds() == ["Deployment"]
    volumes = {each["name"]: each for each in manifests.pod()["spec"]["volumes"]}
    assert volumes["portcullis-config"]["configMap"] == {"name": "crm-policy"}
    assert volumes["portcullis-secret-tls"]["secret"]["secretName"] == "crm-tls"


REDIRECT = {
    "redirect": {
        "enabled": True,
        "image": "registry.acme.example/iptables",
        "outbound": [80, 8000],
        "inbound": [9001],
    },
    "config": {
        "listen": [{"address": "0.0.0.0:8080", "original_destination": True}],
        "upstreams": {"crm": {"original_destination": {"within": ["10.96.0.0/12"]}}},
    },
}


def redirect(parent, **changes):
    values = {**REDIRECT, **changes}
    return render({"portcullis": {**values, "config": {**values["config"], "upstreams": None}}}, chart=parent)


def test_no_connection_is_redirected_unless_it_is_asked_for(sidecar):
    names = [each["name"] for each in sidecar.pod()["spec"]["initContainers"]]
    assert names == ["portcullis"]
    assert "portcullis-run" not in [each["name"] for each in sidecar.pod()["spec"]["volumes"]]


def test_the_redirect_is_set_before_the_sidecar_starts(parent):
    first, second = redirect(parent).pod()["spec"]["initContainers"]
    assert (first["name"], second["name"]) == ("portcullis-redirect", "portcullis")
    rules = [line for line in first["args"][0].splitlines() if not line.startswith("#")]
    outbound = "-A OUTPUT ! -o lo -p tcp -m multiport --dports 80,8000 -m owner ! --uid-owner 65532"
    inbound = "-A PREROUTING -p tcp -m multiport --dports 9001"
    to = "-j REDIRECT --to-ports 8080"
    assert rules == [
        f"{command} -t nat {rule} {to}"
        for command in ("iptables", "ip6tables")
        for rule in (outbound, inbound)
    ]
    # Whom the rule leaves alone is who the proxy is.
    assert second["securityContext"]["runAsUser"] == 65532


def test_only_the_redirect_is_root_and_it_may_do_nothing_but_that(parent):
    first, second = redirect(parent).pod()["spec"]["initContainers"]
    security = first["securityContext"]
    assert security["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}
    assert not security["privileged"] and not security["allowPrivilegeEscalation"]
    assert security["readOnlyRootFilesystem"]
    assert second["securityContext"]["runAsNonRoot"]


@pytest.mark.parametrize("version", [OLDEST_KUBERNETES, NEWEST_KUBERNETES])
def test_a_pod_with_a_redirect_is_valid_kubernetes(parent, version):
    for manifest in redirect(parent):
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"redirect": {**REDIRECT["redirect"], "image": ""}}, "redirect.image is empty"),
        (
            {"redirect": {**REDIRECT["redirect"], "outbound": [], "inbound": []}},
            "no connection would be redirected",
        ),
        (
            {"config": {"listen": [{"address": "0.0.0.0:8080"}]}},
            "no listener of config.listen on port 8080 has original_destination",
        ),
    ],
)
def test_a_redirect_that_leads_nowhere_is_refused(parent, changes, problem):
    with pytest.raises(helm.HelmError) as refused:
        redirect(parent, **changes)
    assert problem in str(refused.value)


# What is refused


@pytest.mark.parametrize(
    ("values", "where"),
    [
        ({"replicas": 3}, "replicas"),
        ({"gateway": {"replicas": "three"}}, "replicas"),
        ({"gateway": {"terminationGracePeriodSeconds": 30}}, "terminationGracePeriodSeconds"),
        ({"image": {"digest": "latest"}}, "digest"),
        ({"image": {"pullPolicy": "Sometimes"}}, "pullPolicy"),
        ({"config": {"listen": []}}, "listen"),
        ({"config": {"listen": [{"address": "8080"}]}}, "address"),
        ({"config": {"telemetry": None}}, "telemetry"),
        ({"ports": {"data": 0}}, "data"),
        ({"ports": {"extra": [{"name": "telemetry", "port": 1}]}}, "extra"),
        ({"secrets": [{"name": "tls"}]}, "existingSecret"),
        ({"secrets": [{"name": "../tls", "existingSecret": "tls"}]}, "name"),
        ({"policy": {"tuples": []}}, "tuples"),
        ({"service": {"type": "ExternalName"}}, "type"),
        ({"resources": {"limits": {"memory": "lots"}}}, "memory"),
        ({"networkPolicy": {"data": "all"}}, "data"),
        ({"serviceMonitor": {"interval": "often"}}, "interval"),
    ],
)
def test_a_wrong_value_is_refused_by_the_schema(values, where):
    with helm.Chart.load(CHART) as chart:
        with pytest.raises(helm.HelmError) as refused:
            chart.validate_schema(values)
    assert where in str(refused.value)


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_right_values_pass_the_schema(values):
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)


def test_a_port_that_nobody_listens_on_is_refused():
    assert "no listener" in refusal({"ports": {"data": 9000}})
    assert "no listener" in refusal({"config": {"listen": [{"address": "0.0.0.0:18080"}]}})
    assert "config.telemetry.address" in refusal({"ports": {"telemetry": 9000}})


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_listener_that_cannot_be_reached_is_refused(host):
    assert "cannot reach" in refusal({"config": {"listen": [{"address": f"{host}:8080"}]}})
    assert "cannot probe" in refusal({"config": {"telemetry": {"address": f"{host}:9902"}}})


# The binary that `make test` has built just before.
PORTCULLIS = os.environ.get("PORTCULLIS")


def verdict(manifests, folder, policy=None):
    """What `portcullis validate` says of the rendered ConfigMap, with the policy's files in their place."""
    (config_map,) = [each for each in manifests if each["kind"] == "ConfigMap" and "portcullis.yaml" in each["data"]]
    for name, text in {**config_map["data"], **(policy or {})}.items():
        (folder / name).write_text(text)
    command = [PORTCULLIS, "validate", "--config", str(folder / "portcullis.yaml")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not PORTCULLIS, reason="PORTCULLIS does not name the binary")
def test_portcullis_accepts_the_default_configuration(tmp_path):
    answer = verdict(render(), tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "everything else is denied" in answer.stdout


@pytest.mark.skipif(not PORTCULLIS, reason="PORTCULLIS does not name the binary")
def test_portcullis_accepts_the_configuration_of_a_sidecar(sidecar, tmp_path):
    policy = {name: (DEMO / name).read_text() for name in ("model.fga", "tuples.yaml")}
    answer = verdict(sidecar, tmp_path, policy)
    assert answer.returncode == 0, answer.stderr
    assert "/crm/v1/accounts/{account}" in answer.stdout
