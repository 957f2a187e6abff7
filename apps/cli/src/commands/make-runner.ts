import { isIommuError } from '@iommukit/kernel';
import { isScenarioError, type Plan, ScenarioRunner } from '@iommukit/scenario';
import { UsageError } from '../errors.js';

/**
 * Makes and boots the machine of a plan. `where` names scenario and platform.
 * @throws UsageError when they do not make a machine: an unknown capability, no RAM, a device where no bus is
 */
export function makeRunner(plan: Plan, where: string): ScenarioRunner {
  try {
    return new ScenarioRunner(plan);
  } catch (error) {
    if (isIommuError(error) || isScenarioError(error)) throw new UsageError(`${where}: ${error.message}`);
    throw error;
  }
}
