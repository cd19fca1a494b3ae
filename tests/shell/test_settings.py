"""A wrong setting is refused with its name, its value and what is allowed."""

import pytest

from genops.shell.settings import MEANINGS, Settings, SettingsError, from_environment


def test_nothing_set_is_the_default() -> None:
    assert from_environment({"GENOPS_IDENTITY": "genops"}) == Settings()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("GENOPS_WORKERS", "many", "is not a number; use 1 to 256"),
        ("GENOPS_WORKERS", "0", "is out of range; use 1 to 256"),
        ("GENOPS_RESYNC_SECONDS", "nan", "is out of range"),
        ("GENOPS_HEALTH_PORT", "70000", "use 0 to 65535"),
        ("GENOPS_LEADER_ELECTION", "maybe", "use one of true, false"),
        ("GENOPS_LOG_LEVEL", "LOUD", "use one of DEBUG"),
        ("GENOPS_PROMETHEUS", "prometheus:9090", "use such as http://"),
        ("GENOPS_PROMETHEUS", "http://", "is not an address"),
        ("GENOPS_PROMETHEUS", "http://user:word@prometheus:9090", "holds credentials"),
        ("GENOPS_PROMETHEUS", "http://prometheus:9090?x=1", "is not an address"),
        ("GENOPS_PROMETHEUS", "http://prometheus:99999", "is not an address"),
    ],
)
def test_a_wrong_value_names_itself(name: str, value: str, says: str) -> None:
    with pytest.raises(SettingsError, match=name) as refused:
        from_environment({name: value})
    assert says in str(refused.value)


def test_namespaces_are_a_list() -> None:
    assert from_environment({"GENOPS_NAMESPACES": "a, b,"}).namespaces == ("a", "b")


def test_the_address_of_prometheus_is_taken_without_its_last_slash() -> None:
    found = from_environment({"GENOPS_PROMETHEUS": "https://prometheus.example/base/"})
    assert found.config.prometheus == "https://prometheus.example/base"


@pytest.mark.parametrize("name", ["GENOPS_PROMETHEUS_TOKEN_FILE", "GENOPS_PROMETHEUS_CA_FILE"])
@pytest.mark.parametrize("address", [{}, {"GENOPS_PROMETHEUS": "http://prometheus:9090"}])
def test_credentials_are_for_tls_alone(name: str, address: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=f"{name}.*https"):
        from_environment({name: "/etc/x", **address})
    assert from_environment({name: "/etc/x", "GENOPS_PROMETHEUS": "https://prometheus:9090"})


def test_each_variable_that_is_read_has_its_meaning_in_the_reference() -> None:
    read: set[str] = set()

    class Environment(dict[str, str]):
        def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
            read.add(name)
            return super().get(name, default)

    from_environment(Environment())
    assert read == set(MEANINGS)
