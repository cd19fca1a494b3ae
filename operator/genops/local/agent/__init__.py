"""The node of the local cluster: runs pods bound to it as sandboxed processes, as a kubelet would."""
