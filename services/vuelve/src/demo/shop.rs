//! What the demo's shop sells, and the names of its invented customers.

use domain::Locale;

/// A product. Prices are in euro cents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Product {
    pub(super) id: &'static str,
    pub(super) category: &'static str,
    name_en: &'static str,
    name_es: &'static str,
    pub(super) price_cents: u32,
}

impl Product {
    const fn new(
        id: &'static str,
        category: &'static str,
        name_en: &'static str,
        name_es: &'static str,
        price_cents: u32,
    ) -> Self {
        Self { id, category, name_en, name_es, price_cents }
    }

    /// Its name, as the shop shows it to this customer.
    pub(super) const fn name(&self, locale: Locale) -> &'static str {
        match locale {
            Locale::En => self.name_en,
            Locale::Es => self.name_es,
        }
    }

    /// Its page. The domain is reserved for examples: nothing answers there.
    pub(super) fn url(&self) -> String {
        format!("https://shop.example.com/{}", self.id)
    }
}

/// The catalogue.
pub(super) const CATALOGUE: [Product; 12] = [
    Product::new("desk-lamp", "home", "Desk lamp", "Lámpara de escritorio", 39_90),
    Product::new("coffee-mug", "kitchen", "Coffee mug", "Taza de café", 12_50),
    Product::new("wool-blanket", "home", "Wool blanket", "Manta de lana", 69_00),
    Product::new("notebook", "paper", "Notebook", "Cuaderno", 8_90),
    Product::new("fountain-pen", "paper", "Fountain pen", "Pluma estilográfica", 49_00),
    Product::new("rucksack", "travel", "Rucksack", "Mochila", 84_50),
    Product::new("water-bottle", "travel", "Water bottle", "Botella de agua", 19_95),
    Product::new("bread-knife", "kitchen", "Bread knife", "Cuchillo de pan", 32_00),
    Product::new("olive-oil", "kitchen", "Olive oil, 1 l", "Aceite de oliva, 1 l", 14_20),
    Product::new("wall-clock", "home", "Wall clock", "Reloj de pared", 45_00),
    Product::new("travel-pillow", "travel", "Travel pillow", "Almohada de viaje", 27_50),
    Product::new("tea-pot", "kitchen", "Tea pot", "Tetera", 36_40),
];

/// First names, by no particular person.
pub(super) const FIRST_NAMES: [&str; 16] = [
    "Ana", "Bruno", "Carla", "David", "Elena", "Félix", "Gloria", "Hugo", "Inés", "Jorge", "Laura", "Mateo", "Nora",
    "Óscar", "Paula", "Rita",
];

/// Cents as a shop's amount in JSON has them: exact in two digits.
pub(super) fn amount(cents: u32) -> f64 {
    f64::from(cents) / 100.0
}
