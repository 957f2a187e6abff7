import { expect, it } from 'vitest';
import type { Candidate } from '../src/index.js';
import { column } from './column.js';
import { absence, firstStageOnQemu, legacyVtdOnQemu, secondStageOnQemu, smmuv3OnQemu } from './qemu.js';

/** Declares a column; without QEMU it is skipped, with the reason, and fails where CI is `true`. */
function columnOnQemu(kind: Parameters<typeof absence>[0], create: () => Candidate): void {
  const why = absence(kind);
  if (why === null) column(create);
  else if (process.env['CI'] === 'true') it(`${kind} on QEMU`, () => expect.fail(why));
  else it.skip(`${kind} on QEMU: ${why}`, () => {});
}

columnOnQemu('smmuv3', smmuv3OnQemu);
columnOnQemu('vtd-legacy', legacyVtdOnQemu);
columnOnQemu('vtd-scalable-ss', secondStageOnQemu);
columnOnQemu('vtd-scalable', firstStageOnQemu);
