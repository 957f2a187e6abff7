import {
  type Answer,
  type MemoryImage,
  parseRegisters,
  parseRequest,
  type Request,
  readElfCore,
} from '@iommukit/inspect';
import { buildCommand } from '@stricli/core';
import type { Context } from '../context.js';
import { readBytes } from '../files.js';
import { jsonLines, LineWriter, tableLines } from '../translate/answer-lines.js';
import { inspections } from '../translate/backends.js';
import { fileLines } from '../translate/file-lines.js';
import { fileSource } from '../translate/file-source.js';
import { firmwareOf } from '../translate/firmware.js';
import { Units } from '../translate/units.js';
import { unpackImage } from '../translate/unpack.js';

/** What `iommukit translate` was told. */
interface TranslateFlags {
  readonly backend: keyof typeof inspections;
  readonly image: string;
  readonly registers: readonly string[];
  readonly requests: string;
  readonly platform?: string;
  readonly unit?: number;
  readonly json: boolean;
}

async function translate(this: Context, flags: TranslateFlags, ...moreRegisters: readonly string[]): Promise<void> {
  const units = new Units({
    image: await imageOf(flags.image),
    registers: parseRegisters(await Promise.all([...flags.registers, ...moreRegisters].map(textOf))),
    inspection: inspections[flags.backend],
    firmware: flags.platform === undefined ? null : await firmwareOf(flags.platform),
    base: flags.unit ?? null,
  });
  const lines = flags.json ? jsonLines : tableLines;
  const writer = new LineWriter(this.process.stdout);
  try {
    if (lines.head !== '') await writer.line(lines.head);
    for (const { text, place } of fileLines(flags.requests)) {
      const request = parseRequest(text, place);
      if (request !== null) await writer.line(lines.line(request, answer(units, request, place)));
    }
  } finally {
    // What was answered before an error is told.
    await writer.flush();
  }
}

function answer(units: Units, request: Request, place: string): Answer {
  const { unit, stream } = units.destination(request, place);
  if (unit === null) return { ok: true, pa: request.iova, fault: null };
  return unit.access(stream, request.pasid, request.iova, request.access);
}

async function imageOf(file: string): Promise<MemoryImage> {
  return readElfCore(file.endsWith('.xz') ? await unpackImage(file) : fileSource(file));
}

async function textOf(file: string): Promise<{ name: string; text: string }> {
  return { name: file, text: new TextDecoder().decode(await readBytes(file)) };
}

function addressOf(text: string): number {
  if (/^0[xX][0-9a-fA-F]{1,13}$/.test(text)) return Number.parseInt(text.slice(2), 16);
  throw new SyntaxError('give the address of its registers (0x…)');
}

const file = (brief: string) => ({ kind: 'parsed', parse: String, brief, placeholder: 'file' }) as const;

/** `iommukit translate`. */
export const translateCommand = buildCommand<TranslateFlags, string[], Context>({
  func: translate,
  parameters: {
    positional: {
      kind: 'array',
      parameter: { brief: 'More register files', parse: String, placeholder: 'file' },
    },
    flags: {
      backend: { kind: 'enum', values: ['vtd', 'smmuv3'], brief: 'The IOMMU architecture' },
      image: file('The memory: an ELF core as dump-guest-memory writes it, or packed with xz (.xz)'),
      registers: {
        ...file('The IOMMU registers: lines `address: word word …`, or JSON; any number of files'),
        variadic: true,
      },
      requests: file('The accesses: lines `BDF IOVA read|write [PASID]`'),
      platform: { ...file('Who is behind which IOMMU: an IORT, a DMAR or a devicetree'), optional: true },
      unit: {
        kind: 'parsed',
        parse: addressOf,
        brief: 'Which IOMMU, by the address of its registers, where there are several',
        optional: true,
        placeholder: 'address',
      },
      json: { kind: 'boolean', brief: 'One JSON object a line', default: false, withNegated: false },
    },
  },
  docs: {
    customUsage: [
      '--backend vtd|smmuv3 --image <file> --registers <file>... --requests <file> [--platform <file>] [--json]',
    ],
    brief: "Ask a real machine's IOMMU state where accesses lead",
    fullDescription: [
      "Loads a machine's memory image and IOMMU registers into the hardware model, and performs accesses on it: where each leads,",
      'or the fault that the IOMMU records. Nothing in the image is changed, and its queues are not run.',
      '',
      'Examples:',
      '  iommukit translate --backend vtd --image mem.elf --registers vtd.txt --requests requests.txt',
      '  iommukit translate --backend smmuv3 --image mem.elf.xz --registers page0.txt page1.txt \\',
      '    --requests requests.txt --platform IORT.aml --json',
      '',
      'A line of the request file:  0000:00:03.0 0xfffff000 read',
      '',
      'Exit codes: 0 every request was answered (a fault is an answer), 2 wrong usage or input that cannot be used.',
    ].join('\n'),
  },
});
