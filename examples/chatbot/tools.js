// A tool, to show how calls are answered in a page.

export const CLOCK = {
  type: "function",
  function: {
    name: "current_time",
    description: "The date and time now.",
    parameters: { type: "object", properties: { time_zone: { type: "string", description: "Such as Europe/Paris." } } },
  },
};

export function resultOf({ name, arguments: input }) {
  try {
    if (name !== CLOCK.function.name) throw new Error(`there is no function ${name}`);
    const { time_zone: timeZone } = JSON.parse(input || "{}");
    return new Intl.DateTimeFormat("en-GB", { dateStyle: "full", timeStyle: "long", timeZone }).format();
  } catch (error) {
    return `failed: ${error.message}`;
  }
}
