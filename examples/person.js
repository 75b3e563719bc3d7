// Who one is to the others. An application knows that from its login; cowrite itself takes it from the token.
const names = ['Ada', 'Bo', 'Cleo', 'Dan', 'Eva', 'Finn', 'Gus', 'Hana']
const colours = ['#c2410c', '#15803d', '#1d4ed8', '#a21caf', '#b91c1c', '#0f766e', '#6d28d9', '#a16207']
const at = Math.floor(Math.random() * names.length)

export const person = { name: names[at], color: colours[at], colorLight: `${colours[at]}33` }
