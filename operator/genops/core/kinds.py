"""Every Kubernetes kind the operator touches, as values. Paths only; no client."""

from dataclasses import dataclass

from gencontract.layout import GROUP, VERSION


@dataclass(frozen=True, order=True)
class Kind:
    """A resource of the API: where its paths start and what it is called."""

    group: str  # "" for the core group
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    def __str__(self) -> str:
        return self.kind

    @property
    def api_version(self) -> str:
        """The value of `apiVersion` in a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, sub: str | None = None) -> str:
        """Build the URL path of a collection, an object, or an object's subresource.

        >>> JOB.path("default", "fit", "status")
        '/apis/batch/v1/namespaces/default/jobs/fit/status'
        """
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return "/".join(p for p in (root + scope, self.plural, name, sub) if p)


GEN_MODEL = Kind(GROUP, VERSION, "genmodels", "GenModel")
GEN_DATASET = Kind(GROUP, VERSION, "gendatasets", "GenDataset")
GEN_TRAINING_JOB = Kind(GROUP, VERSION, "gentrainingjobs", "GenTrainingJob")
GEN_EVALUATION = Kind(GROUP, VERSION, "genevaluations", "GenEvaluation")
GEN_DEPLOYMENT = Kind(GROUP, VERSION, "gendeployments", "GenDeployment")
GEN_VERDICT = Kind(GROUP, VERSION, "genverdicts", "GenVerdict")

POD = Kind("", "v1", "pods", "Pod")
SERVICE = Kind("", "v1", "services", "Service")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
CLAIM = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
JOB = Kind("batch", "v1", "jobs", "Job")
JOB_SET = Kind("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet")
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
AUTOSCALER = Kind("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
DISRUPTION_BUDGET = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
NETWORK_POLICY = Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy")
SCALED_OBJECT = Kind("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject")
HTTP_SCALED_OBJECT = Kind("http.keda.sh", "v1alpha1", "httpscaledobjects", "HTTPScaledObject")
HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
POD_MONITOR = Kind("monitoring.coreos.com", "v1", "podmonitors", "PodMonitor")
EVENT = Kind("events.k8s.io", "v1", "events", "Event")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
CRD = Kind("apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False)
ADMISSION_POLICY = Kind(
    "admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy", namespaced=False
)
ADMISSION_BINDING = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "validatingadmissionpolicybindings",
    "ValidatingAdmissionPolicyBinding",
    namespaced=False,
)

OURS = (GEN_MODEL, GEN_DATASET, GEN_TRAINING_JOB, GEN_EVALUATION, GEN_DEPLOYMENT, GEN_VERDICT)

# By which the Job controller marks the pods of a Job.
JOB_LABEL = "batch.kubernetes.io/job-name"

# Created once under a name that holds the hash of their inputs; never changed afterwards.
CREATE_ONCE = frozenset({JOB, JOB_SET, CLAIM, GEN_DATASET, GEN_TRAINING_JOB, GEN_EVALUATION})

# Kinds that a cluster may lack; a stage that wants one looks at Seen.present.
OPTIONAL = (JOB_SET, SCALED_OBJECT, HTTP_SCALED_OBJECT, HTTP_ROUTE, POD_MONITOR)
