"""Every path, environment name, port and label that both sides know.

Constants only. A pod finds its task here, and the operator finds its pods here.
"""

GROUP = "genops.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

# Labels that every child of ours carries.
LABEL_MANAGED_BY = f"{GROUP}/managed-by"
LABEL_OWNER_KIND = f"{GROUP}/owner-kind"
LABEL_OWNER_NAME = f"{GROUP}/owner-name"
LABEL_OWNER_UID = f"{GROUP}/owner-uid"
LABEL_ROLE = f"{GROUP}/role"
LABEL_RUN = f"{GROUP}/run"
MANAGED_BY = "genops"

# Inside a pod.
TASK_DIR = "/genops/task"
TASK_FILE = f"{TASK_DIR}/task.json"
STORE_DIR = "/genops/store"  # each PVC is mounted at STORE_DIR/<claim name>
SECRET_DIR = "/genops/secrets"
TERMINATION_LOG = "/dev/termination-log"
CONTAINER = "main"

# Environment that a pod may read. Ranks follow torchrun's names.
ENV_TASK = "GENOPS_TASK"
ENV_TERMINATION_LOG = "GENOPS_TERMINATION_LOG"
ENV_POD_IP = "POD_IP"
ENV_SIGNING_KEY = "MODEL_SIGNING_KEY"  # path of a private key: what is made here is signed
ENV_VERIFYING_KEY = "MODEL_VERIFYING_KEY"  # path of a public key: what is opened here must be signed

# Ports of a server pod, as Triton numbers them.
PORT_HTTP = 8000
PORT_GRPC = 8001
PORT_METRICS = 8002
PORT_READY = 8080  # the launcher's /readyz and /livez
PORT_RENDEZVOUS = 29500

SIGNATURE = "model.sig"  # of an artifact that was signed; the one file that no manifest lists
MANIFEST = "manifest.json"  # of every artifact folder; its SHA-256 is the artifact's digest

# Kubernetes keeps 4096 bytes of a container's termination message.
TERMINATION_BUDGET = 4096
# A pod says how far it is at most this often, in seconds.
HEARTBEAT_SECONDS = 5
