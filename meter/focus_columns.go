package meter

import (
	"slices"

	"lodge/cloud"
)

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
	colHostProviderName // since 1.3
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
	colServiceProviderName // since 1.3
	colServiceSubcategory
	colSkuID
	colSkuMeter
	colSkuPriceDetails
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

// FocusColumns are the names of the columns of FocusMonth in a version.
func FocusColumns(version string) []string {
	return ofVersion(version, []string{
		"BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
		"ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart",
		"ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "HostProviderName", "InvoiceId", "InvoiceIssuerName",
		"ListCost", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName", "RegionId",
		"ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "ServiceProviderName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId",
		"SubAccountId", "SubAccountName", "Tags", "x_LodgeDiscountId", "x_LodgeFlavor", "x_LodgeKind", "x_LodgeSlot",
	})
}

// ofVersion takes from a row what the version does not have: 1.3 put two columns
// to those of 1.2, and keeps the two that they are to replace. The others that it
// put are of what lodge has not: contract commitments and split costs.
func ofVersion(version string, row []string) []string {
	if version == FocusNewest {
		return row
	}
	row = slices.Delete(row, colServiceProviderName, colServiceProviderName+1)
	return slices.Delete(row, colHostProviderName, colHostProviderName+1)
}

// priceDetails are properties of one unit of what a price is per, in FOCUS's words.
func priceDetails(m cloud.Meter) string {
	switch m {
	case cloud.MeterVCPU:
		return `{"CoreCount":1}`
	case cloud.MeterMemory:
		return `{"MemorySize":1}`
	case cloud.MeterDisk, cloud.MeterVolume, cloud.MeterSnapshot, cloud.MeterImage:
		return `{"DiskSpace":1}`
	}
	return ""
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
