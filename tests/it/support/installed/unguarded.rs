//! A namespace that nothing guards, beside an installation's.

use super::Installed;

/// Goes when it is dropped.
pub struct Unguarded<'a> {
    pub installed: &'a Installed,
    namespace: String,
}

impl<'a> Unguarded<'a> {
    pub fn new(installed: &'a Installed) -> Self {
        let namespace = format!("{}-unguarded", installed.namespace);
        installed.run("kubectl", &["create", "namespace", &namespace]);
        Self {
            installed,
            namespace,
        }
    }

    /// `kubectl` there, with `input` to read; answers what it printed.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let all = [&["-n", &self.namespace], arguments].concat();
        self.installed.feed("kubectl", &all, input)
    }

    /// Waits until a pod is ready.
    pub fn ready(&self, pod: &str) {
        let wait = ["wait", "--for=condition=Ready", "--timeout=60s", "pod", pod];
        self.kubectl(&wait, "");
    }

    /// A pod's address.
    pub fn address(&self, pod: &str) -> String {
        self.kubectl(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"], "")
    }
}

impl Drop for Unguarded<'_> {
    fn drop(&mut self) {
        // Waited for, since the next one has the same name.
        let namespace = ["delete", "namespace", &self.namespace];
        self.installed.run("kubectl", &namespace);
    }
}
