import type { Core, Device, IommuDriver } from '@iommukit/core';
import type { HardwarePlace, Settings } from '@iommukit/kernel';
import { Atc, type Link, PageRequestInterface } from '@iommukit/pci-ats';
import { DmaEngineDriver } from './driver.js';
import { DmaEngine } from './endpoint.js';
import { JobRunner } from './job-runner.js';
import { MemoryPort } from './memory-port.js';
import { PlatformEngine } from './platform-engine.js';
import { PlatformPort } from './platform-port.js';
import { RegisterFile } from './register-file.js';
import { IDENTITY } from './registers.js';
import { switches } from './switches.js';

/** What an engine is made of, on either bus: a subclass of one of these classes changes one step. */
export interface EngineParts {
  readonly DmaEngine: typeof DmaEngine;
  readonly PlatformEngine: typeof PlatformEngine;
  readonly RegisterFile: typeof RegisterFile;
  readonly JobRunner: typeof JobRunner;
  readonly MemoryPort: typeof MemoryPort;
  readonly PlatformPort: typeof PlatformPort;
  readonly Atc: typeof Atc;
  readonly PageRequestInterface: typeof PageRequestInterface;
}

const engineParts: EngineParts = {
  DmaEngine,
  PlatformEngine,
  RegisterFile,
  JobRunner,
  MemoryPort,
  PlatformPort,
  Atc,
  PageRequestInterface,
};

const MODEL = 'dma-engine';
const COMPATIBLE = 'iommukit,dma-engine';

/** The engine as a PCI function, as a machine plugs it in. */
export const dmaEngine = {
  model: MODEL,
  parts: engineParts,
  create(place: HardwarePlace, link: Link, settings: Settings, parts: EngineParts = engineParts): DmaEngine {
    return new parts.DmaEngine(place, link, settings, parts);
  },
};

/**
 * The engine as a platform device: registers at `place.base`, the interrupt line `irq`, and a link that carries untranslated
 * reads and writes.
 */
export const dmaEnginePlatform = {
  /** What a devicetree calls it. */
  compatible: COMPATIBLE,
  model: MODEL,
  parts: engineParts,
  create(place: HardwarePlace, link: Link, settings: Settings, parts: EngineParts = engineParts): PlatformEngine {
    return new parts.PlatformEngine(place, link, settings, parts);
  },
};

const hex = (id: number): string => id.toString(16).padStart(4, '0');

/** What the driver is made of. */
export interface EngineDriverParts {
  readonly DmaEngineDriver: typeof DmaEngineDriver;
}

const driverParts: EngineDriverParts = { DmaEngineDriver };

/** The engine's driver as a machine loads it, for both kinds of device. */
export const dmaEngineDriver = {
  matches: [`${hex(IDENTITY.vendorId)}:${hex(IDENTITY.deviceId)}`, COMPATIBLE],
  parts: driverParts,
  switches,
  create(device: Device, iommu: IommuDriver, core: Core, parts: EngineDriverParts = driverParts): DmaEngineDriver {
    return new parts.DmaEngineDriver(device, iommu, core);
  },
};
