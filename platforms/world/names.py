"""Word lists from which people, clients and projects get their names. All invented."""

from __future__ import annotations


def _words(paragraph: str) -> tuple[str, ...]:
    return tuple(paragraph.split())


FIRST = _words(
    """
    Amara Noah Ines Owen Priya Lukas Maya Felix Grace Jonas Leila Hugo Nora Silas Zoe Adrian Freya Mateo Hannah
    Idris Clara Ravi Elena Marcus Yuki Theo Sofia Kwame Alma Dario Ruth Emil Tessa Omar Livia Caleb Anja Victor
    Mina Piers Salma Jasper Greta Nikhil Paula Ewan Rosa Stefan Aisha Milo Edith Bruno Farah Leon Wanda Tobias
    Carmen Ivan Dora Kenji
    """
)

LAST = _words(
    """
    Abbott Adeyemi Albrecht Alvarez Andersen Baker Banerjee Barlow Bauer Beckett Bergmann Bianchi Blake Brandt
    Brennan Campbell Castro Chandra Clarke Conrad Costa Dalton Davies Decker Diaz Dietrich Doyle Eckert Ellis
    Engel Farrell Fischer Fleming Fontaine Forster Franke Garcia Gibbs Graham Hale Hartmann Hayes Heinrich Holt
    Ibrahim Iyer Jensen Kaplan Keller Kim Koch Kowalski Lambert Lang Larsen Lindqvist Lopez Maier Malik Marsh
    Mehta Mendes Moreau Murphy Nagel Nakamura Novak Nwosu Okafor Olsen Palmer Park Pereira Petrov Quinn Rahman
    Ramos Reid Richter Rossi Rowe Santos Sauer Schmitt Shah Silva Sommer Stone Suzuki Tanaka Thorne Torres
    Vargas Vogel Wagner Walsh Weber Winter Yilmaz Zeller
    """
)

CLIENT_HEAD = _words(
    """
    Alder Anchor Arbor Aspen Beacon Birch Bluefield Bramble Brightwater Calder Cedar Cinder Clearbrook Cobalt
    Copper Coral Crestline Delta Driftwood Eastgate Elmhurst Ember Evergreen Fairmont Falcon Fenwick Fernhill
    Foxglove Garnet Glenmoor Granite Greyfriars Halcyon Harbour Hawthorn Hazel Heron Highgate Hollybrook Indigo
    Ironbridge Ivory Juniper Kestrel Kingsway Lakeside Lantern Larch Linden Lodestar Lumen Maple Marlow Meridian
    Merlin Millbrook Moorland Northgate Oakhurst Ochre Onyx Orchard Osprey Palisade Pebble Pinecrest Quarry
    Quill Rainford Redwood Ridgeway Riverstone Rowan Saffron Sagebrush Sandpiper Sequoia Silverton Slate
    Solstice Southmoor Sparrow Spruce Sterling Stonefield Summit Sycamore Tamarind Tarn Thistle Tidewater Timber
    Topaz Umber Vale Verity Vesper Waterford Westbourne Whitestone Wildwood Willow Windmere Yarrow
    """
)

CLIENT_TAIL = (
    ("Retail", "Retail"), ("Logistics", "Transportation"), ("Energy", "Energy"), ("Insurance", "Insurance"),
    ("Foods", "Manufacturing"), ("Health", "Healthcare"), ("Bank", "Banking"), ("Media", "Media"),
    ("Pharma", "Biotechnology"), ("Robotics", "Machinery"), ("Telecom", "Telecommunications"),
    ("Motors", "Manufacturing"),
    ("Software", "Technology"), ("Utilities", "Utilities"), ("Hotels", "Hospitality"),
    ("Chemicals", "Chemicals"),
    ("Airlines", "Transportation"), ("Paper", "Manufacturing"), ("Textiles", "Manufacturing"),
    ("Optics", "Electronics"),
    ("Shipping", "Shipping"), ("Learning", "Education"), ("Water", "Utilities"), ("Capital", "Finance"),
    ("Steel", "Manufacturing"), ("Aerospace", "Engineering"), ("Brewing", "Agriculture"), ("Diagnostics", "Healthcare"),
    ("Payments", "Finance"), ("Mobility", "Technology"), ("Farming", "Agriculture"), ("Packaging", "Manufacturing"),
)  # fmt: skip

TOPICS = (
    "data platform migration", "order-to-cash redesign", "pricing analytics", "cloud cost review", "ERP readiness",
    "customer portal", "claims automation", "warehouse optimisation", "identity and access", "finance transformation",
    "demand forecasting", "service desk redesign", "master data clean-up", "regulatory reporting", "field app rollout",
    "merger integration", "supplier onboarding", "analytics operating model", "security assessment",
    "CRM consolidation",
    "network modernisation", "workforce planning", "product information hub", "billing engine replacement",
)  # fmt: skip

TASKS = ("Discovery", "Design", "Build", "Testing and rollout", "Project management")

NOTES = {
    "Discovery": ("Interviews with process owners", "Current-state walkthrough", "Data source inventory"),
    "Design": ("Target process workshop", "Solution outline", "Integration design", "Review of design decisions"),
    "Build": ("Pipeline development", "Configuration", "Interface build", "Code review and rework", "Data loads"),
    "Testing and rollout": ("Test cases", "Acceptance test support", "Cut-over rehearsal", "User training"),
    "Project management": ("Weekly status", "Steering committee", "Plan and budget update"),
}

STREETS = ("Station Road", "Market Street", "Mill Lane", "Harbour Way", "Park Avenue", "Church Street", "Canal Street")

CITIES = {
    "US": (("Boston", "MA", "02110"), ("Chicago", "IL", "60606"), ("Austin", "TX", "78701"), ("Denver", "CO", "80202"),
           ("Seattle", "WA", "98101"), ("Atlanta", "GA", "30303")),
    "GB": (("London", "", "EC2A 4NE"), ("Leeds", "", "LS1 4AP"), ("Bristol", "", "BS1 6DZ"), ("Glasgow", "", "G2 1BB")),
    "IE": (("Dublin", "", "D02 X285"), ("Cork", "", "T12 W8XT")),
    "DE": (("Berlin", "", "10117"), ("Hamburg", "", "20095"), ("Munich", "", "80331"), ("Cologne", "", "50667")),
    "AT": (("Vienna", "", "1010"), ("Graz", "", "8010")),
    "NL": (("Amsterdam", "", "1012 AB"), ("Utrecht", "", "3511 LN")),
    "FR": (("Lyon", "", "69002"), ("Paris", "", "75009")),
}  # fmt: skip

COUNTRY_NAMES = {
    "US": "United States", "GB": "United Kingdom", "IE": "Ireland", "DE": "Germany", "AT": "Austria",
    "NL": "Netherlands", "FR": "France",
}  # fmt: skip

SUFFIX = {"US": ("Inc.", "LLC"), "GB": ("Ltd", "plc"), "IE": ("DAC", "Ltd"), "DE": ("GmbH", "AG"), "AT": ("GmbH",),
          "NL": ("B.V.",), "FR": ("SAS",)}  # fmt: skip
