// A server whose name no resolver knows, and whose certificate nobody trusts who was not told: E2E_ADDRESS is where the names below
// E2E_DOMAIN are, E2E_KEY_HASH is of the key that its certificate is for. Without them the server is on this machine.
import dns from "node:dns";
import process from "node:process";

const { E2E_ADDRESS: address, E2E_DOMAIN: domain, E2E_KEY_HASH: hash } = process.env;

/** Where previews are, below a name of their own. */
export const appsDomain = process.env.E2E_APPS_DOMAIN ?? "localhost";

/** What the browser is told of it. */
export const switches = address
  ? [`--host-resolver-rules=MAP ${domain} ${address}, MAP *.${domain} ${address}`, `--ignore-certificate-errors-spki-list=${hash}`]
  : [];

/** Requests that the driver sends itself, in the browser's place, go there too. NODE_EXTRA_CA_CERTS has the certificate. */
export function elsewhere() {
  if (!address) return;
  const { lookup } = dns.promises;
  dns.promises.lookup = async (name, options) => {
    if (name !== domain && !name.endsWith(`.${domain}`)) return lookup(name, options);
    const found = { address, family: 4 };
    return options?.all ? [found] : found;
  };
  const plain = dns.lookup;
  dns.lookup = (name, options, done = options) => {
    if (name !== domain && !name.endsWith(`.${domain}`)) return plain(name, options, done);
    return options?.all ? done(null, [{ address, family: 4 }]) : done(null, address, 4);
  };
}
