import { describe, expect, it } from 'vitest';
import { tempFile } from './files.js';
import { lookupsOf, MACHINES, type Machine, provokedOn, requesterOf, unitOf } from './machines.js';
import { iommukit } from './support.js';

/** A line of `iommukit translate --json`. */
interface Line {
  readonly device: string;
  readonly iova: string;
  readonly access: string;
  readonly ok: boolean;
  readonly pa: string | null;
  readonly fault: { readonly reason: number; readonly name: string } | null;
}

async function translated(
  machine: Machine,
  requests: readonly string[],
  more: readonly string[] = [],
): Promise<Line[]> {
  const { code, stdout, stderr } = await iommukit(
    ...['translate', '--backend', machine.backend, '--image', machine.image, '--registers', ...machine.registers],
    ...['--requests', tempFile('requests.txt', `${requests.join('\n')}\n`), '--json', ...more],
  );
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);
}

describe.each([
  [MACHINES.vtd, 576, 71],
  [MACHINES.smmuv3, 512, 65],
])('the machine $name', (machine, samples, unmapped) => {
  const lookups = lookupsOf(machine);

  it.each([
    ['by requester ids', []],
    ['by its firmware', ['--platform', machine.firmware]],
  ])('is asked for every sample and every unmapped address, reading and writing, %s', async (_how, more) => {
    const asked = lookups.flatMap((lookup) => [
      { ...lookup, access: 'read' },
      { ...lookup, access: 'write' },
    ]);
    const answers = await translated(
      machine,
      asked.map(({ device, iova, access }) => `${device} ${iova} ${access}`),
      more,
    );
    const expected = asked.map(({ device, iova, access, pa, rights }) => {
      const ok = rights.includes(access[0] as string);
      return { device, iova, access, ok, pa: ok ? pa : null };
    });
    expect(answers.map(({ device, iova, access, ok, pa }) => ({ device, iova, access, ok, pa }))).toEqual(expected);
    expect(answers.every(({ ok, fault }) => ok === (fault === null))).toBe(true);
    expect(lookups.filter(({ pa }) => pa !== null)).toHaveLength(samples);
    expect(lookups.filter(({ pa }) => pa === null)).toHaveLength(unmapped);
  });
});

describe('the faults that were provoked', () => {
  it('on SMMUv3 are the events that the kernel logged, word for word', async () => {
    const unit = await unitOf(MACHINES.smmuv3);
    const queue = 0x40c0_0000;
    let recorded = 0;
    // 101 and 102 were made while the stream had an abort STE.
    for (const fault of provokedOn<string[]>(MACHINES.smmuv3).filter(({ n }) => n !== 101 && n !== 102)) {
      for (let at = 0; at < fault.length; at += 4) {
        const iova = BigInt(fault.iova) + BigInt(at);
        const answer = unit.access(requesterOf(fault.device), -1, iova, fault.direction);
        const event = fault.recorded[at / 4];
        if (event === undefined) {
          expect(answer, fault.what).toMatchObject({ ok: true, fault: null });
          continue;
        }
        const words = [0, 8, 16, 24].map((byte) => wordAt(unit, queue + 32 * recorded + byte));
        expect(words, `fault ${fault.n}: ${fault.what}`).toEqual(event.map(BigInt));
        expect(answer).toMatchObject({ ok: false, fault: { reason: Number(BigInt(event[0] as string) & 0xffn) } });
        recorded++;
      }
    }
    expect(recorded).toBe(18);
  });

  it('on SMMUv3 are silent while the stream has an abort STE (5.3)', async () => {
    const unit = await unitOf(MACHINES.smmuv3);
    const [stream, ste] = [0x30, 0x40a6_0000 + 0x30 * 64];
    const [lo, hi] = [Number(wordAt(unit, ste) & 0xffff_ffffn), Number(wordAt(unit, ste) >> 32n)];
    unit.bus.store64(ste, lo & ~0xe, hi);
    for (const { n, iova, direction } of provokedOn(MACHINES.smmuv3).filter(({ n }) => n === 101 || n === 102)) {
      expect(unit.access(stream, -1, BigInt(iova), direction), `fault ${n}`).toEqual({
        ok: false,
        pa: null,
        fault: null,
      });
    }
  });

  interface Logged {
    readonly kind: string;
    readonly direction: string;
    readonly device: string;
    readonly fault_addr: string;
    readonly reason_code: string;
  }

  it('on VT-d are the fault records that the kernel logged', async () => {
    const unit = await unitOf(MACHINES.vtd);
    // CAP.FRO is 0x22: the one record lies at 0x220.
    const record = unit.base + 0x220;
    let recorded = 0;
    // 21 met a record that was pending; 111 and 112 are interrupts.
    for (const fault of provokedOn<Logged>(MACHINES.vtd).filter(({ n }) => n !== 21 && n !== 111 && n !== 112)) {
      const answer = unit.access(requesterOf(fault.device), -1, BigInt(fault.iova), fault.direction);
      const logged = fault.recorded[0];
      if (logged === undefined) {
        expect(answer, fault.what).toMatchObject({ ok: true, fault: null });
        continue;
      }
      const [low, high] = [wordAt(unit, record), wordAt(unit, record + 8)];
      expect(high >> 63n, 'F').toBe(1n);
      expect(low, `fault ${fault.n}: ${fault.what}`).toBe(BigInt(logged.fault_addr));
      expect((high >> 62n) & 1n, 'T1: 1 is a read').toBe(logged.direction === 'read' ? 1n : 0n);
      expect((high >> 32n) & 0xffn, 'FR').toBe(BigInt(logged.reason_code));
      expect(Number(high & 0xffffn), 'SID').toBe(requesterOf(logged.device));
      expect(answer).toMatchObject({ ok: false, fault: { reason: Number(logged.reason_code) } });
      unit.bus.store32(record + 12, 0x8000_0000);
      recorded++;
    }
    expect(recorded).toBe(15);
  });

  it('on VT-d are none where the access is an interrupt', async () => {
    const unit = await unitOf(MACHINES.vtd);
    for (const { iova } of provokedOn(MACHINES.vtd).filter(({ n }) => n === 111 || n === 112)) {
      expect(unit.access(0x30, -1, BigInt(iova), 'write')).toEqual({ ok: false, pa: null, fault: null });
    }
  });
});

function wordAt({ bus }: Awaited<ReturnType<typeof unitOf>>, pa: number): bigint {
  const out = new Uint32Array(2);
  bus.load64(pa, out);
  return BigInt(out[0] as number) + (BigInt(out[1] as number) << 32n);
}
