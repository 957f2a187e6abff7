import type { PlatformDescription } from '@iommukit/firmware';
import type { Setting } from '@iommukit/kernel';
import type { NotSupported } from './encodings.js';

/** What the second of two units may lack: the first has everything. */
export const LACKS = {
  width: 'its PASIDs have one bit',
  pageRequests: 'it takes no page requests',
  pasids: 'it takes no PASIDs',
  tables: "it cannot walk the CPUs' tables",
  coherence: "its walks are not coherent with the CPUs' caches",
} as const;

/** A key of {@link LACKS}. */
export type Lack = keyof typeof LACKS;

/** A machine with two units of a backend; needed where `severalUnits` is supported. */
export interface TwoUnits {
  /**
   * As the candidate's platform, and with a second IOMMU: 00:04.0 and 00:06.0 are behind that one. Their streams may have the
   * numbers that 00:03.0 and 00:05.0 have behind the first.
   */
  readonly platform: PlatformDescription;
  /** Name of the second one in the description. */
  readonly second: string;
  /** Capabilities of the second one by what it lacks, or `NOT_SUPPORTED(reason)` where no unit can lack that. */
  readonly lacks: Readonly<Record<Lack, Readonly<Record<string, Setting>> | NotSupported>>;
}

/** Capabilities of a unit that lacks something, or null where no unit can lack it. */
export function capabilitiesWithout({ lacks }: TwoUnits, lack: Lack): Readonly<Record<string, Setting>> | null {
  const capabilities = lacks[lack];
  return 'notSupported' in capabilities ? null : (capabilities as Readonly<Record<string, Setting>>);
}
