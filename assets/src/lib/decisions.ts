/** Decisions about a container's outgoing connections, as a person wants to read them. Pure. */

export interface Decision {
  at_ms: number;
  host: string;
  port: number;
  verdict: "allowed" | "refused";
  reason: string;
  message: string | null;
}

/** A destination which keeps being asked for is news again after it was left alone for this long. */
const QUIET_MS = 60_000;

const target = (decision: Decision) => `${decision.host}:${decision.port} ${decision.reason}`;

/** What was decided and what to do, without the prefix that tells a terminal's reader who speaks. */
export function sentence(decision: Decision): string {
  const told = decision.message?.replace(/^OptiDev egress:\s*/, "") ?? "";
  return told || `${decision.host}:${decision.port} was refused (${decision.reason}).`;
}

/** Neighbours that say the same become one, with the newest time; `decisions` are newest first. */
export function grouped(decisions: readonly Decision[]): { decision: Decision; times: number }[] {
  const groups: { decision: Decision; times: number }[] = [];
  for (const decision of decisions) {
    const last = groups.at(-1);
    if (last && last.decision.verdict === decision.verdict && target(last.decision) === target(decision)) last.times += 1;
    else groups.push({ decision, times: 1 });
  }
  return groups;
}

/** Tells which refusals a person has not been told of. What was there at the first look is old. */
export class Refusals {
  private seen: Set<string> | null = null;
  private newestMs = 0;
  private readonly told = new Map<string, number>();

  /** One refusal for each destination that is news, newest first; `decisions` are newest first. */
  fresh(decisions: readonly Decision[]): Decision[] {
    const { seen, newestMs } = this;
    const mark = (decision: Decision) => `${decision.at_ms} ${target(decision)}`;
    this.seen = new Set(decisions.map(mark));
    this.newestMs = Math.max(newestMs, decisions[0]?.at_ms ?? 0);
    const news: Decision[] = [];
    // Oldest first, so that the quiet time is measured from the asking before.
    for (const decision of [...decisions].reverse()) {
      if (decision.verdict !== "refused" || seen?.has(mark(decision))) continue;
      const key = target(decision);
      const before = this.told.get(key);
      this.told.set(key, Math.max(before ?? 0, decision.at_ms));
      // What another server decided comes a moment late, by a clock of its own; what comes later than that is no news.
      const late = decision.at_ms <= newestMs - QUIET_MS;
      if (seen !== null && !late && (before === undefined || decision.at_ms - before > QUIET_MS)) news.unshift(decision);
    }
    return news;
  }
}
