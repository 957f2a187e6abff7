import type { Coroutine } from '@iommukit/kernel';
import { describe, expect, it } from 'vitest';
import { Atc, PageRequestInterface, type Upstream } from '../src/index.js';
import { FakeDevice, finish } from './bench-top.js';

/** Registers of the fake device. */
export const REGISTER = {
  COMMAND: 0x10_0001_8004,
  ATS: 0x10_0001_8106,
  PRI: 0x10_0001_8114,
  PRI_STATUS: 0x10_0001_8116,
  PASID: 0x10_0001_8126,
};

/** A rule of pcie-ats.md 5, what tells that a device keeps it, and the one step without which it does not. */
export interface Rule {
  readonly rule: string;
  readonly says: string;
  /** True if a device made of these classes keeps the rule. */
  holds(atc: typeof Atc, pri: typeof PageRequestInterface): boolean;
  readonly broken: { readonly atc?: typeof Atc; readonly pri?: typeof PageRequestInterface };
}

/** A device made of these classes. */
export const device = (atc: typeof Atc, pri: typeof PageRequestInterface): FakeDevice =>
  new FakeDevice({}, 8, atc, pri);

/** What `body` leaves in `seen`, after PRI was enabled with these credits. */
export function sent(dev: FakeDevice, credits: number, body: () => Coroutine<void>): readonly Upstream[] {
  finish(dev, function* () {
    yield* dev.enable(credits);
    yield* body();
    yield* dev.kernel.clock.sleep(1);
  });
  return dev.agent.seen;
}

/** A broken device may also never come to an end. */
function holdsAtAll(rule: Rule, atc: typeof Atc, pri: typeof PageRequestInterface): boolean {
  try {
    return rule.holds(atc, pri);
  } catch {
    return false;
  }
}

/** Tests that a device keeps each rule, and that it does not without the step for it. */
export function testRules(rules: readonly Rule[]): void {
  describe('a device', () => {
    it.each(rules)('$says ($rule)', (rule) => {
      expect(rule.holds(Atc, PageRequestInterface)).toBe(true);
    });

    it.each(rules)('does not keep $rule without the step for it: $says', (rule) => {
      const { atc = Atc, pri = PageRequestInterface } = rule.broken;
      expect(holdsAtAll(rule, atc, pri)).toBe(false);
    });
  });
}
