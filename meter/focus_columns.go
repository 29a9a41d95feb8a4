package meter

import "lodge/cloud"

// The columns, in their order: those of FOCUS by name, then lodge's own.
const (
	colBilledCost = iota
	colBillingAccountID
	colBillingAccountName
	colBillingCurrency
	colBillingPeriodEnd
	colBillingPeriodStart
	colChargeCategory
	colChargeClass
	colChargeDescription
	colChargeFrequency
	colChargePeriodEnd
	colChargePeriodStart
	colConsumedQuantity
	colConsumedUnit
	colContractedCost
	colContractedUnitPrice
	colEffectiveCost
	colInvoiceID
	colInvoiceIssuerName
	colListCost
	colListUnitPrice
	colPricingCategory
	colPricingQuantity
	colPricingUnit
	colProviderName
	colPublisherName
	colRegionID
	colResourceID
	colResourceName
	colResourceType
	colServiceCategory
	colServiceName
	colServiceSubcategory
	colSkuID
	colSkuMeter
	colSkuPriceID
	colSubAccountID
	colSubAccountName
	colTags
	colDiscountID
	colFlavor
	colKind
	colSlot
	colCount
)

// FocusColumns are the names of the columns of FocusMonth.
func FocusColumns() []string {
	return []string{
		"BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
		"ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
		"ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName",
		"ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId",
		"ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceId",
		"SubAccountId", "SubAccountName", "Tags", "x_LodgeDiscountId", "x_LodgeFlavor", "x_LodgeKind", "x_LodgeSlot",
	}
}

// focusMeter is a meter in the words of FOCUS.
type focusMeter struct{ name, unit, category, subcategory, service, resource string }

var focusMeters = map[cloud.Meter]focusMeter{
	cloud.MeterInstance: {"Instances", "Hours", "Compute", "Virtual Machines", "Instances", "Instance"},
	cloud.MeterVCPU:     {"vCPUs", "Core-Hours", "Compute", "Virtual Machines", "Instances", "Instance"},
	cloud.MeterMemory:   {"Memory", "GiB-Hours", "Compute", "Virtual Machines", "Instances", "Instance"},
	cloud.MeterDisk:     {"Disk", "GiB-Hours", "Storage", "Block Storage", "Disks", "Instance"},
	"volume":            {"Volumes", "GiB-Hours", "Storage", "Block Storage", "Volumes", "Volume"},
	"snapshot":          {"Snapshots", "GiB-Hours", "Storage", "Backup Storage", "Snapshots", "Snapshot"},
	"image":             {"Images", "GiB-Hours", "Storage", "Other (Storage)", "Images", "Image"},
	"floating_ip":       {"Floating IPs", "Hours", "Networking", "Network Connectivity", "Floating IPs", "Floating IP"},
	"egress":            {"Egress", "GB", "Networking", "Network Connectivity", "Traffic", "Instance"},
	"ingress":           {"Ingress", "GB", "Networking", "Network Connectivity", "Traffic", "Instance"},
}
